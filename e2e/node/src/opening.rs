//! Recognises protocols other than HTTP by a server's first bytes. Main function: [`recognised`].

use e2e_kubelet::protocol::Protocol;

/// The protocol of a server's first bytes, after an HTTP request or without a request.
pub(super) fn recognised(heard: &[u8]) -> Option<Protocol> {
    const OPENINGS: [(&[u8], Protocol); 11] = [
        (b"AMQP", Protocol::Amqp),
        (b"SSH-", Protocol::Ssh),
        (b"* OK", Protocol::Imap),
        (b"+OK", Protocol::Pop3),
        (b"INFO {", Protocol::Nats),
        (b"-ERR", Protocol::Redis),
        (b"-NOAUTH", Protocol::Redis),
        (b"-DENIED", Protocol::Redis),
        (b"ERROR\r\n", Protocol::Memcached),
        (b"RFB 00", Protocol::Vnc),
        (&[0x15, 0x03], Protocol::Tls),
    ];
    let opening = OPENINGS.iter().find(|(bytes, _)| heard.starts_with(bytes)).map(|(_, protocol)| *protocol);
    opening.or_else(|| match heard {
        // A reply of SMTP or FTP is three digits and a text, which often names the protocol (RFC 5321, 4.2; RFC 959, 4.2).
        [b'2' | b'4' | b'5', b'0'..=b'5', b'0'..=b'9', b' ' | b'-', text @ ..] => {
            let names = |word: &[u8]| text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
            [(&b"smtp"[..], Protocol::Smtp), (b"ftp", Protocol::Ftp)]
                .into_iter()
                .find(|(word, _)| names(word))
                .map(|(_, it)| it)
        }
        // A frame of HTTP/2 begins with 24 bits of length and its type; the first one is SETTINGS, type 4, of stream 0 (RFC 9113, 3.4), or
        // GOAWAY, type 7, from a server that ends the connection.
        [0, _, _, 4 | 7, 0 | 1, 0, 0, 0, 0, ..] => Some(Protocol::Http2),
        // A negotiation: WILL, WONT, DO or DONT (RFC 854, Command Structure).
        [0xff, 0xfb..=0xfe, ..] => Some(Protocol::Telnet),
        // MySQL's greeting: 24 bits of length, number 0, version 10 of the protocol, or an error, such as for too many connections.
        [_, _, 0, 0, 0x0a | 0xff, ..] => Some(Protocol::MySql),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"AMQP\0\0\x09\x01", Some(Protocol::Amqp))]
    #[case(b"SSH-2.0-OpenSSH_9.2\r\n", Some(Protocol::Ssh))]
    #[case(b"220 mail.example ESMTP Postfix\r\n", Some(Protocol::Smtp))]
    #[case(b"220 (vsFTPd 3.0.3)\r\n", Some(Protocol::Ftp))]
    #[case(b"200 news.example ready\r\n", None)]
    #[case(b"\xff\xfd\x18login: ", Some(Protocol::Telnet))]
    #[case(b"J\0\0\0\x0a8.0.36\0", Some(Protocol::MySql))]
    #[case(b"\x45\0\0\0\xffj\x04Host is not allowed to connect", Some(Protocol::MySql))]
    #[case(b"-ERR wrong number of arguments for 'get' command\r\n", Some(Protocol::Redis))]
    #[case(b"INFO {\"server_id\":\"x\"}\r\n", Some(Protocol::Nats))]
    #[case(b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(Protocol::Http2))]
    #[case(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01", Some(Protocol::Http2))]
    #[case(b"\x15\x03\x01\0\x02\x02\x16", Some(Protocol::Tls))]
    #[case(b"HTTP/1.1 200 OK\r\n\r\n", None)]
    #[case(b"", None)]
    #[case(b"hello\r\n", None)]
    fn first_bytes_name_the_protocol(#[case] heard: &[u8], #[case] protocol: Option<Protocol>) {
        assert_eq!(recognised(heard), protocol);
    }
}
