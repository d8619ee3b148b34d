//! Whether a program accepts the connections that the kernel completes for it. A part of [`Lab`].

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{lab::Lab, seconds};
use crate::sockets::sockets;

/// The pause between looks at the kernel's tables.
const PAUSE: Duration = Duration::from_millis(50);

impl Lab<'_> {
    /// What a tcpSocket probe cannot see: a connection that is still in the kernel's queue when the probe's timeout ends.
    pub(super) async fn left_in_the_queue(&self, port: u16) -> Option<(String, &'static str)> {
        let within = self.timeout();
        stays_queued(self.target.address(port)?, within).await?.then(|| {
            let text = format!(
                "no program has accepted a connection to port {port} within {}: the kernel completes connections on its own, so a tcpSocket \
                 probe proves nothing about the program",
                seconds(within)
            );
            (text, "use an httpGet, grpc or exec probe, which needs an answer from the program; find out from its log why it accepts no connection")
        })
    }
}

/// Whether the server's end of a new connection has no program for this long; `None` if it cannot be seen from here.
async fn stays_queued(address: SocketAddr, within: Duration) -> Option<bool> {
    let stream = timeout(within, TcpStream::connect(address)).await.ok()?.ok()?;
    let client = stream.local_addr().ok()?;
    let end = Instant::now() + within;
    loop {
        let is_queued = is_queued(address, client)?;
        if !is_queued || Instant::now() > end {
            return Some(is_queued);
        }
        sleep(PAUSE).await;
    }
}

/// Whether no program has a socket, by the table that has it: this network's, or that of a pod on this machine.
fn is_queued(local: SocketAddr, remote: SocketAddr) -> Option<bool> {
    let table = if local.is_ipv6() { "tcp6" } else { "tcp" };
    let mut networks = BTreeSet::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_networks = processes
        .filter(|process| std::fs::read_link(process.join("ns/net")).is_ok_and(|network| networks.insert(network)));
    let own = std::iter::once("/proc/self".into());
    // A listener of both families has its sockets in IPv6's table.
    own.chain(of_networks)
        .flat_map(|process: std::path::PathBuf| [process.join("net").join(table), process.join("net/tcp6")])
        .find_map(|table| {
            let table = std::fs::read_to_string(table).ok()?;
            sockets(&table)
                .find(|socket| socket.local == local && socket.remote == remote)
                .map(|socket| socket.is_queued())
        })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_waits_until_a_program_accepts_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let within = Duration::from_millis(200);
        assert_eq!(stays_queued(address, within).await, Some(true));
        let accepting = tokio::spawn(async move {
            let mut accepted = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.push(stream);
            }
        });
        assert_eq!(stays_queued(address, within).await, Some(false));
        accepting.abort();
        let _ = accepting.await;
        assert_eq!(stays_queued(address, within).await, None, "nothing listens");
    }
}
