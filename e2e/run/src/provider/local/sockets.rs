//! Which process has a connection, from `/proc`. Main function: [`inode_of`].

use std::{fs, net::SocketAddr};

use e2e_node::sockets::{Socket, sockets};

/// The number of the socket of a connection on this machine, by its two ends.
pub(super) fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    // A program may connect to an IPv4 address through a socket of IPv6.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let ports = (local.port(), remote.port());
    let is_it = |one: &Socket| one.is_established() && (one.local.port(), one.remote.port()) == ports;
    tables.iter().flat_map(|table| sockets(table)).find(is_it).map(|found| found.inode)
}

/// Whether a process has a socket open.
pub(super) fn has_socket(pid: u32, inode: u64) -> bool {
    let name = format!("socket:[{inode}]");
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let Some(inode) = inode_of(local, remote) else { return eprintln!("SKIPPED: no /proc on this system") };
        assert!(has_socket(std::process::id(), inode));
        assert!(!has_socket(1, 0));
        drop(client);
        assert_eq!(inode_of(local, remote), None);
    }
}
