//! A load agent: listens for a conductor and makes its share of a load. See the module `agent` of the library.

use std::process::ExitCode;

use e2e_load::agent::{DEFAULT_LISTEN, LISTEN, TOKEN, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Makes the share of a load that a conductor orders.

Usage: e2e-agent

Environment:
  E2E_AGENT_TOKEN   what a conductor has to know; whoever knows it can make this process send requests to any address
  E2E_AGENT_LISTEN  where to listen, 0.0.0.0:7070 unless told otherwise";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args_os().len() > 1 {
        println!("{USAGE}");
        return ExitCode::from(2);
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| format!("{TOKEN} is not set, set it to the run's token"))?;
    let address = std::env::var(LISTEN).unwrap_or_else(|_| DEFAULT_LISTEN.to_owned());
    let listener = TcpListener::bind(&address).await;
    let listener = listener.map_err(|error| format!("cannot listen on {address} ({LISTEN}): {error}"))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on {local}");
    // The first process of a container has no default handler for it.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        served = serve(listener, &token, |line| println!("{line}")) => {
            served.map_err(|error| format!("cannot accept connections: {error}"))
        }
        _ = terminate.recv() => Ok(()),
    }
}
