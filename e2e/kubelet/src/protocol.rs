//! The protocols that the doctor recognises on a port. Main type: [`Protocol`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// AJP, as Tomcat speaks it.
    Ajp,
    /// AMQP, as RabbitMQ speaks it.
    Amqp,
    /// Cassandra's.
    Cassandra,
    /// DNS over TCP.
    Dns,
    /// FastCGI, as PHP-FPM speaks it.
    FastCgi,
    /// FTP.
    Ftp,
    /// HTTP/2.
    Http2,
    /// IMAP.
    Imap,
    /// JDWP, as Java's debuggers speak it.
    Jdwp,
    /// Kafka's.
    Kafka,
    /// LDAP.
    Ldap,
    /// Memcached's.
    Memcached,
    /// MongoDB's.
    MongoDb,
    /// MQTT.
    Mqtt,
    /// MySQL's, which MariaDB speaks too.
    MySql,
    /// NATS.
    Nats,
    /// POP3.
    Pop3,
    /// PostgreSQL's.
    PostgreSql,
    /// Redis'.
    Redis,
    /// Java RMI, as JMX speaks it.
    Rmi,
    /// SMTP.
    Smtp,
    /// SOCKS5.
    Socks5,
    /// SSH.
    Ssh,
    /// Telnet.
    Telnet,
    /// TLS.
    Tls,
    /// uwsgi, as uWSGI speaks it to a proxy.
    Uwsgi,
    /// VNC's.
    Vnc,
    /// ZooKeeper's.
    ZooKeeper,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ajp => "AJP",
            Self::Amqp => "AMQP",
            Self::Cassandra => "Cassandra's protocol",
            Self::Dns => "DNS",
            Self::FastCgi => "FastCGI",
            Self::Ftp => "FTP",
            Self::Http2 => "HTTP/2",
            Self::Imap => "IMAP",
            Self::Jdwp => "Java's debug protocol (JDWP)",
            Self::Kafka => "Kafka's protocol",
            Self::Ldap => "LDAP",
            Self::Memcached => "Memcached's protocol",
            Self::MongoDb => "MongoDB's protocol",
            Self::Mqtt => "MQTT",
            Self::MySql => "MySQL's protocol",
            Self::Nats => "NATS",
            Self::Pop3 => "POP3",
            Self::PostgreSql => "PostgreSQL's protocol",
            Self::Redis => "Redis' protocol",
            Self::Rmi => "Java RMI",
            Self::Smtp => "SMTP",
            Self::Socks5 => "SOCKS5",
            Self::Ssh => "SSH",
            Self::Telnet => "Telnet",
            Self::Tls => "TLS",
            Self::Uwsgi => "uwsgi",
            Self::Vnc => "VNC",
            Self::ZooKeeper => "ZooKeeper's protocol",
        })
    }
}
