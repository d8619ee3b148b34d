//! The server of `bench load`. Main type: [`Nginx`].

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::find;
use crate::options::BadInput;
use anyhow::{Context, Result, bail};

/// JSON of 200 bytes, the answer to a POST.
pub(super) const ANSWER: &str = concat!(
    r#"{"operation":"op-0-1","committed":true,"padding":"0123456789012345678901234567890123456789"#,
    r#"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"}"#
);

/// An nginx on the first processor that answers `OK` at `/`, and at `/post`, once it has read a body, [`ANSWER`].
pub(super) struct Nginx {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Nginx {
    /// `directory` is for its files.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let program =
            find("nginx").ok_or_else(|| BadInput("nginx is not installed: apt install nginx-light".to_owned()))?;
        // Free now; nginx takes it at once.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        std::fs::write(directory.join("nginx.conf"), configuration(address))?;
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nginx with taskset (util-linux)")?;
        let nginx = Self { child, address };
        nginx.wait()?;
        Ok(nginx)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(self.address).is_err() {
            if Instant::now() > deadline {
                bail!("nginx does not answer at {} within 5 s", self.address);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(address: SocketAddr) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 30000;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {}\n\
         server {{ listen {address} backlog=16384; location / {{ return 200 \"OK\"; }}\n\
         location /post {{ default_type application/json; return 200 '{ANSWER}'; }} }} }}\n",
        temporary.join(" ")
    )
}
