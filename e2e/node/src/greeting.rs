//! Recognises protocols other than HTTP by a server's answer to the protocol's greeting. Main function: [`greet`].

use std::time::Duration;

use e2e_kubelet::{
    observation::{Kind, Observation, Verdict},
    protocol::Protocol,
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout_at},
};

use crate::http::{self, Route};

/// A client's greeting in a protocol whose servers wait for it, and the test of the answer.
struct Greeting {
    protocol: Protocol,
    says: &'static [u8],
    understood: fn(&[u8]) -> bool,
}

/// None of these changes state: each asks for the version or capabilities, or opens a session and leaves.
const GREETINGS: [Greeting; 17] = [
    Greeting {
        // GET / of a protocol that only the answer to these variables repeats (uWSGI's documentation, The uwsgi Protocol, modifier 0).
        protocol: Protocol::Uwsgi,
        says: b"\0\x66\0\0\x0e\0REQUEST_METHOD\x03\0GET\x09\0PATH_INFO\x01\0/\x0b\0SERVER_NAME\x09\0localhost\x0b\0SERVER_PORT\x02\080\x0f\0SERVER_PROTOCOL\x07\0UWSGI/1",
        understood: |heard| heard.starts_with(b"UWSGI/1 "),
    },
    Greeting {
        // The handshake, which the server repeats (Java Debug Wire Protocol, Handshake). Early: a JVM serves one connection at a time, and
        // waits for the rest of a shorter greeting.
        protocol: Protocol::Jdwp,
        says: b"JDWP-Handshake",
        understood: |heard| heard.starts_with(b"JDWP-Handshake"),
    },
    Greeting {
        // FCGI_GET_VALUES (9), answered with FCGI_GET_VALUES_RESULT (10) (FastCGI specification, 4.1).
        protocol: Protocol::FastCgi,
        says: b"\x01\x09\0\0\0\x11\x07\0\x0f\0FCGI_MPXS_CONNS\0\0\0\0\0\0\0",
        understood: |heard| heard.starts_with(&[1, 10]),
    },
    Greeting {
        // A question of class CHAOS for `version.bind`, which no server forwards; the answer repeats its number (RFC 1035, 4.2.2, RFC 4892).
        // Early: servers serve few connections at once, and to them an HTTP request is the beginning of a long question.
        protocol: Protocol::Dns,
        says: b"\0\x1e\x65\x32\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03",
        understood: |heard| heard.len() >= 14 && heard[2..4] == [0x65, 0x32] && heard[4] & 0x80 != 0,
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
        // CPing, answered with CPong (Tomcat's AJP protocol reference).
        protocol: Protocol::Ajp,
        says: b"\x12\x34\0\x01\x0a",
        understood: |heard| heard == b"AB\0\x01\x09",
    },
    Greeting {
        // OPTIONS of version 4, answered with SUPPORTED (6), or with ERROR (0) by a server of other versions (CQL binary protocol, 2 and 4).
        protocol: Protocol::Cassandra,
        says: &[4, 0, 0, 0, 5, 0, 0, 0, 0],
        understood: |heard| heard.len() >= 9 && heard[0] >= 0x83 && heard[0] <= 0x85 && matches!(heard[4], 0 | 6),
    },
    Greeting {
        // A header of version 2 that asks for a stream, answered with an acknowledgement and the client's address (Java RMI, 10.2).
        protocol: Protocol::Rmi,
        says: b"JRMI\0\x02\x4b",
        understood: |heard| heard.len() > 7 && heard[0] == 0x4e && heard[1] == 0,
    },
    Greeting {
        // One method, none; the answer accepts it or has no acceptable one (RFC 1928, 3).
        protocol: Protocol::Socks5,
        says: &[5, 1, 0],
        understood: |heard| heard == [5, 0] || heard == [5, 0xff],
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

/// Each greeting begins so long after the last: a server with one worker answers the one that it understands before another occupies it.
pub(super) const STAGGER: Duration = Duration::from_millis(10);

/// The maximum bytes of an answer.
const HEARD: usize = 256;

/// Greets a server in these protocols, each in a separate connection, and returns the one it understood.
pub(super) async fn greet(route: &Route, protocols: &[Protocol], within: Duration) -> Observation {
    let start = Instant::now();
    let wanted = GREETINGS.iter().filter(|greeting| protocols.contains(&greeting.protocol));
    let answers = join_all(wanted.zip(0..).map(|(greeting, place)| async move {
        sleep(STAGGER * place).await;
        let answer = timeout_at(start + within, say(route, greeting.says)).await.ok().flatten()?;
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
    let (mut wire, _) = http::connect(route, "").await.ok()?;
    wire.write_all(words).await.ok()?;
    let mut heard = vec![0; HEARD];
    let count = wire.read(&mut heard).await.ok()?;
    heard.truncate(count);
    Some(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let uwsgi = says(Protocol::Uwsgi);
        assert_eq!(uwsgi.len(), 4 + usize::from(uwsgi[1]));
        let dns = says(Protocol::Dns);
        assert_eq!(dns.len(), 2 + usize::from(dns[1]));
        let ldap = says(Protocol::Ldap);
        assert_eq!(ldap.len(), 2 + usize::from(ldap[1]));
    }
}
