//! The TCP sockets of this machine, from the kernel's tables `/proc/net/tcp` and `/proc/net/tcp6`. Main function: [`sockets`].

use std::net::{IpAddr, SocketAddr};

/// One end of a connection, or a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Its own address.
    pub local: SocketAddr,
    /// That of the other end.
    pub remote: SocketAddr,
    /// The state's number in the kernel's `tcp_states.h`.
    state: u8,
    /// The number of the file, zero while no program has it.
    pub inode: u64,
}

impl Socket {
    pub(super) fn is_listener(&self) -> bool {
        self.state == 10
    }

    /// Whether it is an end of a connection that both ends have.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.state == 1
    }

    /// Whether its connection is established and no program has accepted it.
    pub(super) fn is_queued(&self) -> bool {
        self.is_established() && self.inode == 0
    }
}

/// The sockets of a table. The second and the third column have address and port in hexadecimal, an address in groups of four bytes in
/// the machine's byte order; the fourth is the state and the tenth the inode (`get_tcp4_sock` in the kernel's net/ipv4/tcp_ipv4.c).
pub fn sockets(table: &str) -> impl Iterator<Item = Socket> {
    table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        Some(Socket {
            local: address(columns.get(1)?)?,
            remote: address(columns.get(2)?)?,
            state: u8::from_str_radix(columns.get(3)?, 16).ok()?,
            inode: columns.get(9)?.parse().ok()?,
        })
    })
}

fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => IpAddr::from(<[u8; 16]>::try_from([word(0)?, word(1)?, word(2)?, word(3)?].concat()).ok()?),
        _ => return None,
    };
    // A socket of both families has IPv4 addresses in IPv6's form.
    Some(SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_are_read_from_the_kernels_tables() {
        let line = |local: &str, remote: &str, state: &str, inode: u64| {
            format!(
                "   0: {local} {remote} {state} 00000000:00000001 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
            )
        };
        let none = "0".repeat(32);
        let table = "  sl  local_address rem_address   st\n".to_owned()
            + &line("0100007F:1F90", "00000000:0000", "0A", 7)
            + &line(&format!("{none}:1F90"), &format!("{none}:0000"), "0A", 8)
            + &line("00000000000000000000000001000000:1F90", &format!("{none}:0000"), "0A", 9)
            + &line("0000000000000000FFFF00000100007F:1F90", "0000000000000000FFFF00000200007F:0050", "01", 0);
        let found: Vec<Socket> = sockets(&table).collect();
        let local: Vec<String> = found.iter().map(|socket| socket.local.to_string()).collect();
        assert_eq!(local, ["127.0.0.1:8080", "[::]:8080", "[::1]:8080", "127.0.0.1:8080"]);
        assert_eq!(found.iter().map(Socket::is_listener).collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(found.iter().map(Socket::is_queued).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!(found[3].remote, "127.0.0.2:80".parse().unwrap());
    }
}
