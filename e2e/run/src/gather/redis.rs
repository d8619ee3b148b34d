//! What Redis servers say of their memory (`INFO`): of any component that answers in Redis's protocol. Main type: [`RedisServers`].

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use e2e_load::clock::now_unix_ms;
use e2e_node::node::Runtime;
use e2e_plan::ResolvedContainer;
use e2e_report::evidence::redis::{RedisSample, RedisServer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::servers::{WellKnown, ports_of, variable};
use crate::provider::{Provider, pods::PodSpec};

/// Well below the sampling period; a healthy server answers in a thousandth of it.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// An answer to `INFO` has about 7 kB.
const ANSWER_MAX_BYTES: u64 = 1 << 20;
/// Programs of this protocol.
const REDIS: WellKnown = WellKnown { port: 6379, images: &["redis", "valkey"] };
/// What images and charts name the password's variable.
const PASSWORDS: [&str; 2] = ["REDIS_PASSWORD", "VALKEY_PASSWORD"];

#[derive(Debug, Clone)]
pub(super) struct RedisServers {
    candidates: Arc<Vec<Candidate>>,
    /// By pod and port.
    known: Arc<Mutex<BTreeMap<(String, u16), Known>>>,
}

/// A port that may be a server's.
#[derive(Debug)]
struct Candidate {
    pod: PodSpec,
    port: u16,
    container: ResolvedContainer,
}

/// What a port turned out to be.
#[derive(Debug)]
enum Known {
    Server(RedisServer),
    /// It speaks another protocol, or keeps no keys, and is not asked again.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Told(Told),
    /// It wants a password, or another one, or does not allow this client to ask.
    Refused(String),
    Other,
}

/// What a server says of its memory.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    sample: RedisSample,
    maxmemory_bytes: u64,
    maxmemory_policy: String,
}

impl RedisServers {
    pub(super) fn of(pods: &[PodSpec]) -> Self {
        Self { candidates: Arc::new(pods.iter().flat_map(candidates).collect()), known: Arc::default() }
    }

    /// Asks each of them once. Who does not answer may be starting, and is asked again the next time.
    pub(super) async fn look(&self, provider: &Provider) {
        let asked = self.candidates.iter().filter(|candidate| self.is_open(candidate)).map(|candidate| async move {
            // A pod may get its address only when it starts.
            let address = *provider.target(&candidate.pod.name)?.ports.get(&candidate.port)?;
            let answer = tokio::time::timeout(ANSWER_LIMIT, ask(address, password(&candidate.container)));
            Some((candidate, answer.await.ok()?.ok()?))
        });
        for (candidate, answer) in futures_util::future::join_all(asked).await.into_iter().flatten() {
            self.keep(candidate, answer);
        }
    }

    /// What all servers said.
    pub(super) fn told(&self) -> Vec<RedisServer> {
        let known = self.known.lock();
        let servers = known.values().filter_map(|known| match known {
            Known::Server(server) => Some(server.clone()),
            Known::Other => None,
        });
        servers.collect()
    }

    fn is_open(&self, candidate: &Candidate) -> bool {
        match self.known.lock().get(&candidate.key()) {
            None => true,
            Some(Known::Server(server)) => server.refused.is_none(),
            Some(Known::Other) => false,
        }
    }

    fn keep(&self, candidate: &Candidate, answer: Answer) {
        let mut known = self.known.lock();
        let known = known.entry(candidate.key()).or_insert_with(|| match answer {
            Answer::Told(_) | Answer::Refused(_) => Known::Server(candidate.server()),
            Answer::Other => Known::Other,
        });
        let Known::Server(server) = known else { return };
        match answer {
            Answer::Told(Told { sample, maxmemory_bytes, maxmemory_policy }) => {
                server.samples.push(sample);
                (server.maxmemory_bytes, server.maxmemory_policy) = (maxmemory_bytes, maxmemory_policy);
            }
            Answer::Refused(words) => server.refused = Some(words),
            Answer::Other => {}
        }
    }
}

impl Candidate {
    fn key(&self) -> (String, u16) {
        (self.pod.name.clone(), self.port)
    }

    fn server(&self) -> RedisServer {
        RedisServer {
            component: self.pod.component.name.clone(),
            pod: self.pod.name.clone(),
            port: self.port,
            ..RedisServer::default()
        }
    }
}

fn candidates(pod: &PodSpec) -> Vec<Candidate> {
    let ports = ports_of(pod, &REDIS).into_iter();
    ports.map(|(port, container)| Candidate { pod: pod.clone(), port, container }).collect()
}

/// The password that a server is started with, as far as its arguments and variables show it.
fn password(container: &ResolvedContainer) -> Option<&str> {
    let words: Vec<&String> = container.command.iter().chain(&container.args).collect();
    let argument = words.windows(2).find(|pair| pair[0] == "--requirepass").map(|pair| pair[1].as_str());
    argument.or_else(|| variable(container, &PASSWORDS))
}

/// Asks a server for what it says of itself. An error is of the connection, or the server's own for now: it loads its data, say.
async fn ask(address: SocketAddr, password: Option<&str>) -> io::Result<Answer> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let authenticate = password.map(|password| command(&["AUTH", password])).unwrap_or_default();
    stream.write_all((authenticate + &command(&["INFO"])).as_bytes()).await?;
    if password.is_some() {
        // Without a password of its own a server answers with an error, and the next request is allowed all the same.
        line(&mut stream).await?;
    }
    let first = line(&mut stream).await?;
    let length = match first.split_at_checked(1) {
        Some(("$", length)) => length.parse::<u64>().ok().filter(|length| *length <= ANSWER_MAX_BYTES),
        Some(("-", words)) if is_refusal(words) => return Ok(Answer::Refused(words.to_owned())),
        Some(("-", words)) => return Err(io::Error::other(words)),
        _ => None,
    };
    let Some(length) = length else { return Ok(Answer::Other) };
    let mut text = String::new();
    stream.take(length).read_to_string(&mut text).await?;
    Ok(read(&text).map_or(Answer::Other, Answer::Told))
}

/// A command in Redis's protocol (RESP2).
fn command(words: &[&str]) -> String {
    let each: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{each}", words.len())
}

/// A line without its end. What is no text is replaced: another protocol.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_until(b'\n', &mut bytes).await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// Errors that asking again does not change.
fn is_refusal(words: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM", "DENIED"].iter().any(|code| words.starts_with(code))
}

/// What `INFO` says of the memory; nothing from what keeps no keys, such as a sentinel.
fn read(info: &str) -> Option<Told> {
    let text = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = |key: &str| text(key)?.trim().parse::<u64>().ok();
    // `errorstat_OOM:count=3`, absent while there is none.
    let refused = text("errorstat_OOM").and_then(|counts| counts.trim().strip_prefix("count=")?.parse().ok());
    // Since 6.2 there is a count of all error replies, and with it one of each kind.
    let refused = refused.or_else(|| text("total_error_replies").map(|_| 0));
    Some(Told {
        sample: RedisSample {
            at_unix_ms: now_unix_ms(),
            memory_bytes: number("used_memory")?,
            evicted_keys: number("evicted_keys")?,
            refused_commands: refused,
        },
        maxmemory_bytes: number("maxmemory")?,
        maxmemory_policy: text("maxmemory_policy")?.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::provider::{pods, testing::plan_of_pod};

    const INFO: &str = "# Memory\r\nused_memory:4194304\r\nused_memory_rss:9\r\nmaxmemory:8388608\r\nmaxmemory_policy:allkeys-lru\r\n\
        # Stats\r\nevicted_keys:17\r\ntotal_error_replies:5\r\n# Errorstats\r\nerrorstat_ERR:count=2\r\nerrorstat_OOM:count=3\r\n";

    #[test]
    fn the_memory_is_read_from_info() {
        let told = read(INFO).unwrap();
        let RedisSample { memory_bytes, evicted_keys, refused_commands, .. } = told.sample;
        assert_eq!((memory_bytes, evicted_keys, refused_commands), (4_194_304, 17, Some(3)));
        assert_eq!((told.maxmemory_bytes, told.maxmemory_policy.as_str()), (8_388_608, "allkeys-lru"));
        let without = |line: &str| read(&INFO.replace(line, "")).unwrap().sample.refused_commands;
        assert_eq!(without("errorstat_OOM:count=3\r\n"), Some(0));
        let old = INFO.replace("total_error_replies:5\r\n", "").replace("errorstat_OOM:count=3\r\n", "");
        assert_eq!(read(&old).unwrap().sample.refused_commands, None, "an old server does not count them");
        assert_eq!(read("# Sentinel\r\nsentinel_masters:1\r\n"), None);
    }

    /// A server that says this to whoever connects.
    async fn answered(words: &'static [u8], password: Option<&str>) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(words).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the client is done: a reset would take the answer along.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        tokio::join!(ask(address, password), server).0
    }

    #[tokio::test]
    async fn an_answer_tells_what_a_port_is() {
        let refused = answered(b"-NOAUTH Authentication required.\r\n", None).await.unwrap();
        assert_eq!(refused, Answer::Refused("NOAUTH Authentication required.".to_owned()));
        let wrong = answered(b"-WRONGPASS invalid\r\n-NOAUTH Authentication required.\r\n", Some("x")).await.unwrap();
        assert!(matches!(wrong, Answer::Refused(_)), "{wrong:?}");
        assert_eq!(answered(b"HTTP/1.1 400 Bad Request\r\n\r\n", None).await.unwrap(), Answer::Other);
        assert_eq!(answered(b"\x15\x03\x01\x00\x02", None).await.unwrap(), Answer::Other, "an alert of TLS");
        assert_eq!(answered(b"$21\r\nsentinel_masters:1\r\n\r\n", None).await.unwrap(), Answer::Other);
        // Both pass by themselves.
        assert!(answered(b"-LOADING Redis is loading the dataset in memory\r\n", None).await.is_err());
        assert!(answered(b"", None).await.is_err());
    }

    #[rstest::rstest]
    #[case::by_its_port("image: any, ports: [{ containerPort: 6379 }]", &[(6379, None)])]
    #[case::by_its_image("image: 'bitnami/valkey:8', ports: [{ containerPort: 7000 }]", &[(7000, None)])]
    #[case::neither("image: app, ports: [{ containerPort: 7000 }]", &[])]
    #[case::an_argument(
        "image: redis, args: [redis-server, --requirepass, $(P)], env: [{ name: P, value: one }], ports: [{ containerPort: 6379 }]",
        &[(6379, Some("one"))]
    )]
    #[case::a_variable(
        "image: redis, env: [{ name: REDIS_PASSWORD, value: two }], ports: [{ containerPort: 6379 }]",
        &[(6379, Some("two"))]
    )]
    fn what_is_asked(#[case] container: &str, #[case] expected: &[(u16, Option<&str>)]) {
        let plan = plan_of_pod(&format!("{{ containers: [{{ name: app, {container} }}] }}"));
        let found = candidates(&pods::of(&plan, "run")[0]);
        let found: Vec<_> = found.iter().map(|candidate| (candidate.port, password(&candidate.container))).collect();
        assert_eq!(found, expected);
    }
}
