//! Free ports of 127.0.0.1 that stay free while a process restarts. Main type: [`Ports`].

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
};

use crate::provider::Error;

/// Below the range that Linux and macOS take outgoing ports from (32768 and 49152 up): a port in that range could be taken by any
/// connection while the process that owns it restarts. And below that of NodePorts (30000 to 32767): a cluster on this machine
/// redirects those by kernel rules that do not conflict with a bind.
const RANGE: Range<u16> = 15_000..30_000;

/// Chooses ports, each once.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    left: u16,
}

impl Ports {
    pub(super) fn new() -> Self {
        // A start of its own for each run, so that two runs seldom look at the same ports.
        let random = e2e_report::run_dir::random() as u16;
        Self { next: RANGE.start + random % (RANGE.end - RANGE.start), left: RANGE.end - RANGE.start }
    }

    /// A port that nothing listens on.
    pub(super) fn next(&mut self, what: &str) -> Result<SocketAddr, Error> {
        let (address, _free_again) = self.bind(what)?;
        Ok(address)
    }

    /// A listener on a free port.
    pub(super) fn listener(&mut self, what: &str) -> Result<tokio::net::TcpListener, Error> {
        let (_, listener) = self.bind(what)?;
        into_tokio(listener).map_err(|error| Error::port(what, &error))
    }

    fn bind(&mut self, what: &str) -> Result<(SocketAddr, TcpListener), Error> {
        let mut reason = "every port from 15000 to 29999 was tried".to_owned();
        while self.left > 0 {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.left -= 1;
            self.next = if self.next + 1 == RANGE.end { RANGE.start } else { self.next + 1 };
            match TcpListener::bind(address) {
                Ok(listener) => return Ok((address, listener)),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => reason = error.to_string(),
            }
        }
        Err(Error::Port { what: what.to_owned(), reason })
    }
}

pub(super) fn into_tokio(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over() {
        let mut ports = Ports::new();
        let (taken, _listener) = ports.bind("one").unwrap();
        ports.next = taken.port();
        assert_ne!(ports.next("another").unwrap(), taken);
    }

    #[test]
    fn no_port_left_is_an_error_that_says_for_what() {
        let mut ports = Ports { next: RANGE.start, left: 0 };
        assert!(ports.next("nginx-0 port 8080").unwrap_err().to_string().contains("nginx-0 port 8080"));
    }
}
