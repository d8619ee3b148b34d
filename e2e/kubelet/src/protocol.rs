//! The protocols that the doctor recognises on a port. Main type: [`Protocol`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

in_words! {
    /// A protocol.
    pub enum Protocol {
        Ajp = "AJP", // Tomcat speaks it.
        Amqp = "AMQP", // RabbitMQ speaks it.
        Cassandra = "Cassandra's protocol",
        Dns = "DNS", // Over TCP.
        FastCgi = "FastCGI", // PHP-FPM speaks it.
        Ftp = "FTP",
        Http2 = "HTTP/2",
        Imap = "IMAP",
        Jdwp = "Java's debug protocol (JDWP)",
        Kafka = "Kafka's protocol",
        Ldap = "LDAP",
        Memcached = "Memcached's protocol",
        MongoDb = "MongoDB's protocol",
        Mqtt = "MQTT",
        MySql = "MySQL's protocol", // MariaDB speaks it too.
        Nats = "NATS",
        Pop3 = "POP3",
        PostgreSql = "PostgreSQL's protocol",
        Redis = "Redis' protocol",
        Rmi = "Java RMI", // JMX speaks it.
        Smtp = "SMTP",
        Socks5 = "SOCKS5",
        Ssh = "SSH",
        Telnet = "Telnet",
        Tls = "TLS",
        Uwsgi = "uwsgi", // uWSGI speaks it to a proxy.
        Vnc = "VNC",
        ZooKeeper = "ZooKeeper's protocol",
    }
}
