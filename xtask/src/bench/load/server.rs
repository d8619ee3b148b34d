//! The servers of `bench load`. Main type: [`Server`].

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use e2e_cli::failure::Ended;
use e2e_run::{Options, exit::ExitCode};
use xshell::{Shell, cmd};

use super::find;
use crate::root;

/// JSON of 200 bytes, the answer to a POST.
pub(super) const ANSWER: &str = concat!(
    r#"{"operation":"op-0-1","committed":true,"padding":"0123456789012345678901234567890123456789"#,
    r#"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"}"#
);

/// A server on the first processor; ends when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// An nginx that answers `OK`. `directory` is for its files.
    pub(super) fn nginx(directory: &Path) -> Result<Self> {
        let missing = || Ended(ExitCode::NotUp, "nginx is not installed: apt install nginx-light".to_owned());
        let program = find("nginx").ok_or_else(missing)?;
        let address = free_address()?;
        std::fs::write(directory.join("nginx.conf"), configuration(address))?;
        Self::start(program, &["-e", "stderr", "-c", "nginx.conf", "-p", &directory.to_string_lossy()], address)
    }

    /// A hyper that reads the body of each request and answers [`ANSWER`], built for release.
    pub(super) fn hyper() -> Result<Self> {
        let shell = Shell::new()?;
        shell.change_dir(root());
        let built = cmd!(shell, "cargo build --release --package e2e-load --example hyper --message-format short");
        built.quiet().run().context("cannot build the server")?;
        // Next to the directory of runs, which may not exist yet.
        let program = Options::new(root()).runs().with_file_name("release").join("examples/hyper");
        let address = free_address()?;
        Self::start(program, &[&address.to_string(), ANSWER], address)
    }

    fn start(program: PathBuf, arguments: &[&str], address: SocketAddr) -> Result<Self> {
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(&program)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a server with taskset (util-linux)")?;
        let mut server = Self { child, address };
        server.wait(&program)?;
        Ok(server)
    }

    /// Waits until it answers. Its output goes to standard error.
    fn wait(&mut self, program: &Path) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it answered at {}", program.display(), self.address);
            }
            if Instant::now() > deadline {
                bail!("{} does not answer at {} within 5 s", program.display(), self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free now; the server binds it at once.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn configuration(address: SocketAddr) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 30000;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {}\n\
         server {{ listen {address} backlog=16384; location / {{ return 200 \"OK\"; }} }} }}\n",
        temporary.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_not_waited_for() {
        let started = Instant::now();
        let ended = Server::start("/nowhere/hyper".into(), &[], free_address().unwrap());
        let error = ended.map(drop).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/hyper ended with exit status: "), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
