//! Which process has a connection, from `/proc`. Main function: [`inode_of`].

use std::{fs, net::SocketAddr};

/// The number of the socket of a connection on this machine, by its two ends.
pub(super) fn inode_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    // A program may connect to an IPv4 address through a socket of IPv6.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.iter().find_map(|table| find(table, local.port(), remote.port()))
}

/// Whether a process has a socket open.
pub(super) fn has_socket(pid: u32, inode: &str) -> bool {
    let name = format!("socket:[{inode}]");
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == name.as_str()))
}

/// In a table of proc_pid_net(5): the fields after the number are the two ends, the state, and, as the tenth, the inode.
fn find(table: &str, local: u16, remote: u16) -> Option<String> {
    const ESTABLISHED: &str = "01";
    let port = |end: &str| u16::from_str_radix(end.rsplit_once(':')?.1, 16).ok();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = port(fields.get(1)?)? == local && port(fields.get(2)?)? == remote && *fields.get(3)? == ESTABLISHED;
        is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
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
        assert!(has_socket(std::process::id(), &inode));
        assert!(!has_socket(1, "0"));
        drop(client);
        assert_eq!(inode_of(local, remote), None);
    }
}
