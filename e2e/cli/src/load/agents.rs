//! Shares the load among local processes, each running this program as an agent.

use std::{io::Read, process::Stdio};

use anyhow::{Context, Result};
use e2e_load::{
    agent::{self, Order, conduct},
    load::{self, Registry, Settings},
};
use e2e_run::exit::ExitCode;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::spawn_blocking,
};

use super::{Measured, live::Live};
use crate::{failure::Ended, interrupts::Interrupts, options::block_on};

/// The load over this many processes.
pub(super) async fn measure(count: u32, order: &Order, live: &mut Live) -> Result<Measured> {
    let token = e2e_report::run_dir::random_hex();
    // Killed when they are dropped.
    let mut children = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..count {
        let (child, address) = start(&token).await?;
        children.push(child);
        streams.push(TcpStream::connect(&address).await.with_context(|| format!("cannot connect to {address}"))?);
    }
    let mut interrupts = Interrupts::install()?;
    let result = tokio::select! {
        result = conduct(streams, &token, order, |snapshot| live.show(snapshot)) => Some(result?),
        () = interrupts.recv() => None,
    };
    live.end();
    let text = "interrupted: agents report only at the end, so there are no figures";
    let result = result.ok_or_else(|| Ended(ExitCode::Interrupted, text.to_owned()))?;
    Ok(Measured { result, interrupted: false })
}

/// Rejects, before any agent starts, settings that every agent would reject.
///
/// # Errors
///
/// Those of an agent with its share of the clients.
pub(super) fn check(count: u32, settings: Settings) -> Result<(), load::Error> {
    let settings = Settings { clients: settings.clients.div_ceil(count), ..settings };
    settings.check()
}

async fn start(token: &str) -> Result<(Child, String)> {
    let program = std::env::current_exe().context("cannot find the running executable")?;
    let mut command = Command::new(program);
    command.arg("agent").env(agent::TOKEN, token).env(agent::LISTEN, "127.0.0.1:0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    // Ctrl-C reaches a terminal's whole process group, but this program must end its agents itself.
    command.process_group(0);
    let mut child = command.spawn().context("cannot start an agent")?;
    let output = child.stdout.take().context("an agent has no standard output")?;
    let line = BufReader::new(output).lines().next_line().await?.context("an agent exited before it listened")?;
    let address = line.strip_prefix("listening on ").with_context(|| format!("an agent said `{line}`"))?;
    Ok((child, address.to_owned()))
}

/// The hidden verb `agent`: serves its parent until the parent exits and thereby closes standard input.
pub(crate) fn serve_parent() -> Result<ExitCode> {
    let parent = async { drop(spawn_blocking(|| std::io::stdin().read(&mut [0])).await) };
    // The parent reads no more than the first line.
    block_on(agent::listen(&Registry::default(), parent, |_| {}))?.map_err(anyhow::Error::msg)?;
    Ok(ExitCode::Pass)
}
