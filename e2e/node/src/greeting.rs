//! Recognises protocols other than HTTP by a server's first bytes, or by its answer to the protocol's greeting. Main functions:
//! [`recognised`], [`greet`].

use std::time::Duration;

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    protocol::Protocol,
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::http::{self, Route};

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
        // A frame of HTTP/2 begins with 24 bits of length and its type; the first one is SETTINGS, type 4, of stream 0 (RFC 9113, 3.4).
        [0, _, _, 4, 0 | 1, 0, 0, 0, 0, ..] => Some(Protocol::Http2),
        // MySQL's greeting: 24 bits of length, number 0, version 10 of the protocol, or an error, such as for too many connections.
        [_, _, 0, 0, 0x0a | 0xff, ..] => Some(Protocol::MySql),
        _ => None,
    })
}

/// A client's greeting in a protocol whose servers wait for it, and the test of the answer.
struct Greeting {
    protocol: Protocol,
    says: &'static [u8],
    understood: fn(&[u8]) -> bool,
}

/// None of these changes state: each asks for the version or capabilities, or opens a session and leaves.
const GREETINGS: [Greeting; 10] = [
    Greeting {
        // FCGI_GET_VALUES (9), answered with FCGI_GET_VALUES_RESULT (10) (FastCGI specification, 4.1).
        protocol: Protocol::FastCgi,
        says: b"\x01\x09\0\0\0\x11\x07\0\x0f\0FCGI_MPXS_CONNS\0\0\0\0\0\0\0",
        understood: |heard| heard.starts_with(&[1, 10]),
    },
    Greeting {
        // SSLRequest, answered with one byte (PostgreSQL's documentation, 55.7).
        protocol: Protocol::PostgreSql,
        says: b"\0\0\0\x08\x04\xd2\x16\x2f",
        understood: |heard| heard == b"S" || heard == b"N",
    },
    Greeting {
        protocol: Protocol::Redis,
        says: b"*1\r\n$4\r\nPING\r\n",
        understood: |heard| heard.starts_with(b"+PONG") || heard.starts_with(b"-NOAUTH") || heard.starts_with(b"-DENIED"),
    },
    Greeting {
        // ApiVersions (18), version 0, number 1, no client: the answer repeats the number.
        protocol: Protocol::Kafka,
        says: b"\0\0\0\x0a\0\x12\0\0\0\0\0\x01\xff\xff",
        understood: |heard| heard.len() >= 10 && heard[..2] == [0, 0] && heard[4..8] == [0, 0, 0, 1],
    },
    Greeting {
        protocol: Protocol::ZooKeeper,
        says: b"srvr",
        understood: |heard| heard.starts_with(b"Zookeeper version") || heard.starts_with(b"srvr is not executed"),
    },
    Greeting {
        // OP_MSG with `{hello: 1, $db: "admin"}`: the answer repeats the number, as that of what it answers.
        protocol: Protocol::MongoDb,
        says: b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0",
        understood: |heard| heard.len() >= 16 && heard[8..12] == [1, 0, 0, 0] && heard[12..16] == [0xdd, 7, 0, 0],
    },
    Greeting {
        // CONNECT of version 3.1.1 with a clean session, answered with CONNACK (MQTT, 3.1 and 3.2).
        protocol: Protocol::Mqtt,
        says: b"\x10\x0c\0\x04MQTT\x04\x02\0\x0a\0\0",
        understood: |heard| heard.starts_with(&[0x20, 2]),
    },
    Greeting {
        protocol: Protocol::Memcached,
        says: b"version\r\n",
        understood: |heard| heard.starts_with(b"VERSION "),
    },
    Greeting {
        // A bind without a name, answered with a bind response, number 1 (RFC 4511, 4.2).
        protocol: Protocol::Ldap,
        says: b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0",
        understood: |heard| heard.first() == Some(&0x30) && heard.windows(4).any(|part| part == [2, 1, 1, 0x61]),
    },
    Greeting {
        protocol: Protocol::Amqp,
        says: b"AMQP\0\0\x09\x01",
        understood: |heard| heard.starts_with(&[1, 0, 0]) || heard.starts_with(b"AMQP"),
    },
];

/// Protocols in which the client speaks first.
pub(super) fn greeted() -> Vec<Protocol> {
    GREETINGS.iter().map(|greeting| greeting.protocol).collect()
}

/// The maximum bytes of an answer.
const HEARD: usize = 256;

/// Greets a server in these protocols, each in a separate connection, and returns the one it understood.
pub(super) async fn greet(route: &Route, protocols: &[Protocol], within: Duration) -> Observation {
    let start = Instant::now();
    let wanted = GREETINGS.iter().filter(|greeting| protocols.contains(&greeting.protocol));
    let answers = join_all(wanted.map(|greeting| async move {
        let answer = timeout(within, say(route, greeting.says)).await.ok().flatten()?;
        (greeting.understood)(&answer).then_some(greeting.protocol)
    }));
    let spoke = answers.await.into_iter().flatten().next();
    let message = match spoke {
        Some(protocol) => format!("it understands {protocol}"),
        None => "it understands none of them".to_owned(),
    };
    Observation {
        spoke,
        total_ms: http::round_ms(start.elapsed()),
        ..Observation::new(Verdict::Failure, Kind::Connected, message)
    }
}

async fn say(route: &Route, words: &[u8]) -> Option<Vec<u8>> {
    let mut wire = http::connect(route, "").await.ok()?;
    wire.write_all(words).await.ok()?;
    let mut heard = vec![0; HEARD];
    let count = wire.read(&mut heard).await.ok()?;
    heard.truncate(count);
    Some(heard)
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
    #[case(b"J\0\0\0\x0a8.0.36\0", Some(Protocol::MySql))]
    #[case(b"\x45\0\0\0\xffj\x04Host is not allowed to connect", Some(Protocol::MySql))]
    #[case(b"-ERR wrong number of arguments for 'get' command\r\n", Some(Protocol::Redis))]
    #[case(b"INFO {\"server_id\":\"x\"}\r\n", Some(Protocol::Nats))]
    #[case(b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(Protocol::Http2))]
    #[case(b"\x15\x03\x01\0\x02\x02\x16", Some(Protocol::Tls))]
    #[case(b"HTTP/1.1 200 OK\r\n\r\n", None)]
    #[case(b"", None)]
    #[case(b"hello\r\n", None)]
    fn first_bytes_name_the_protocol(#[case] heard: &[u8], #[case] protocol: Option<Protocol>) {
        assert_eq!(recognised(heard), protocol);
    }

    #[test]
    fn greetings_are_as_long_as_they_say() {
        let says = |protocol| GREETINGS.iter().find(|greeting| greeting.protocol == protocol).unwrap().says;
        let mongo = says(Protocol::MongoDb);
        assert_eq!(mongo.len(), usize::from(mongo[0]));
        assert_eq!(usize::from(mongo[21]), mongo.len() - 21, "the document's own length");
        let fast_cgi = says(Protocol::FastCgi);
        assert_eq!(fast_cgi.len(), 8 + usize::from(fast_cgi[5]) + usize::from(fast_cgi[6]));
        let kafka = says(Protocol::Kafka);
        assert_eq!(kafka.len(), 4 + usize::from(kafka[3]));
        let mqtt = says(Protocol::Mqtt);
        assert_eq!(mqtt.len(), 2 + usize::from(mqtt[1]));
        let ldap = says(Protocol::Ldap);
        assert_eq!(ldap.len(), 2 + usize::from(ldap[1]));
    }
}
