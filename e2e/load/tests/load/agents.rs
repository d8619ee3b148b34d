//! Several agents share a load: as tasks of this process, and as processes that can be killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e_load::agent::{ConductError, LISTEN, Order, TOKEN, conduct, serve};
use e2e_load::load::scenarios::Fixed;
use e2e_load::load::{ClientOutcome, ClientReport, LoadResult, Registry, RequestHead, Snapshot, Workload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::engine::{get, settings};
use crate::scenarios::registration;
use crate::servers::{OK, answering, response};

const SECRET: &str = "a token of this run";

/// Agents in this process, and a connection to each.
async fn agents(count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(agent(Registry::default()).await).await.unwrap());
    }
    streams
}

async fn agent(registry: Registry) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener, SECRET, &registry, |_| {}).await });
    address
}

fn order(target: SocketAddr, clients: u32, milliseconds: u64) -> Order {
    let workload = Workload::Fixed(get().expect_body("OK"));
    Order::new(target.to_string(), workload, &settings(target, clients, milliseconds))
}

#[tokio::test]
async fn eight_agents_share_the_clients_and_are_one_result() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let keys = seen.clone();
    let address = answering(move |_, request| {
        keys.lock().unwrap().insert(request.split_once("\r\n\r\n").unwrap().1.to_owned());
        response(200, "", r#"{"id":1,"token":"t"}"#)
    })
    .await;
    let order = Order::new(address.to_string(), Workload::Steps(registration(3)), &settings(address, 20, 1500));
    let mut last = Snapshot::default();
    let result: LoadResult<ClientReport> =
        conduct(agents(8).await, SECRET, &order, |snapshot| last = *snapshot).await.unwrap();

    assert_eq!((result.clients, result.clients_ready, result.missing_agents().count()), (20, 20, 0));
    assert_eq!(seen.lock().unwrap().len(), 20, "every client has a key of its own");
    let indices: Vec<u32> = result.client_reports.iter().map(|report| report.client).collect();
    assert_eq!(indices, (0..20).collect::<Vec<_>>());
    assert!(result.client_reports.iter().all(|report| report.outcome == Some(ClientOutcome::Succeeded)));
    assert_eq!(result.step("register").unwrap().samples.count(), 20);
    assert_eq!(result.connections.opened, 20);
    assert_eq!(last.clients_ready, 20, "{last:?}");
    let by_agent: Vec<(u32, u32)> = result.agents.iter().map(|agent| (agent.first_client, agent.clients)).collect();
    assert_eq!(by_agent, [(0, 2), (2, 3), (5, 2), (7, 3), (10, 2), (12, 3), (15, 2), (17, 3)]);
}

/// The limit is this process's, which is one of the test's own.
#[tokio::test]
async fn a_want_of_file_descriptors_does_not_end_an_agent() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let address = answering(|_, _| OK.to_owned()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
    let (said, mut says) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move { serve(listener, SECRET, &Registry::default(), |line| drop(said.send(line))).await });
    let line = says.recv().await.unwrap();
    assert!(line.starts_with("cannot accept a connection"), "{line}");
    setrlimit(Resource::Nofile, before).unwrap();
    let result = conduct(vec![stream], SECRET, &order(address, 1, 200), |_| {}).await.unwrap();
    assert_eq!(result.missing_agents().count(), 0);
}

#[tokio::test]
async fn an_agent_of_a_project_knows_its_scenarios_in_rust() {
    let address = answering(|_, _| OK.to_owned()).await;
    let ping = |path: String| RequestHead::new("GET", &path, "test").map(|head| Fixed::new(&head, None));
    let agent = agent(Registry::default().with("ping", ping)).await;
    let stream = || TcpStream::connect(agent);
    let (first, second, third) = (stream().await.unwrap(), stream().await.unwrap(), stream().await.unwrap());
    let named = |name: &str, path: &str| {
        let workload = Workload::Named { name: name.to_owned(), parameters: path.into() };
        Order::new(address.to_string(), workload, &settings(address, 2, 200))
    };

    let result = conduct(vec![first], SECRET, &named("ping", "/"), |_| {}).await.unwrap();
    assert!(result.measured.succeeded > 0 && result.measured.errors == 0, "{:?}", result.measured);
    let refused = |error: ConductError| error.to_string();
    let unknown = conduct(vec![second], SECRET, &named("pong", "/"), |_| {}).await.map_err(refused).unwrap_err();
    assert!(unknown.contains("no scenario `pong` in this program; it has ping"), "{unknown}");
    let invalid = conduct(vec![third], SECRET, &named("ping", "/a b"), |_| {}).await.map_err(refused).unwrap_err();
    assert!(invalid.contains("scenario `ping`: target \"/a b\" is not allowed in an HTTP request"), "{invalid}");
}

#[tokio::test]
async fn agents_start_together() {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = starts.clone();
    let address = answering(move |_, _| {
        noted.lock().unwrap().push(std::time::Instant::now());
        OK.to_owned()
    })
    .await;
    // The second agent hears of its order 300 ms after the first.
    let mut streams = agents(2).await;
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut late = streams.pop().unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::io::copy_bidirectional(&mut far, &mut late).await
    });
    let (early, mut passed) = tokio::io::duplex(64 * 1024);
    let mut other = streams.pop().unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut passed, &mut other).await });
    let before = std::time::Instant::now();
    let result: LoadResult<ClientReport> =
        conduct(vec![early, near], SECRET, &order(address, 2, 200), |_| {}).await.unwrap();
    assert_eq!(result.clients_ready, 2);
    let first = *starts.lock().unwrap().first().unwrap();
    assert!(first - before >= Duration::from_millis(300), "{:?}", first - before);
}

#[tokio::test]
async fn what_an_agent_refuses_is_said() {
    let address = answering(|_, _| OK.to_owned()).await;
    let mut streams = agents(1).await;
    let stranger = conduct(streams.split_off(0), "a guess", &order(address, 1, 100), |_| {}).await;
    let text = stranger.unwrap_err().to_string();
    assert_eq!(text, "no agent gave a result: agent 0: the token is not this agent's");

    let nowhere = Order { target: "no.such.host.invalid:80".to_owned(), ..order(address, 1, 100) };
    let text = conduct(agents(1).await, SECRET, &nowhere, |_| {}).await.unwrap_err().to_string();
    assert!(text.starts_with("no agent gave a result: agent 0: cannot look up no.such.host.invalid:80: "), "{text}");

    let few = conduct(agents(2).await, SECRET, &order(address, 1, 100), |_| {}).await;
    assert!(matches!(few, Err(ConductError::Agents { agents: 2, clients: 1 })), "{few:?}");
}

#[tokio::test]
async fn nonsense_ends_its_connection_and_not_the_agent() {
    let agent = agent(Registry::default()).await;
    let lines = [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\n", b"\"start\"\n", b"", &[b'x'; 100_000]];
    for line in lines {
        let mut stream = TcpStream::connect(agent).await.unwrap();
        // The agent may close before it has read all of it.
        let _ = stream.write_all(line).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    let address = answering(|_, _| OK.to_owned()).await;
    let stream = TcpStream::connect(agent).await.unwrap();
    let result: LoadResult<ClientReport> =
        conduct(vec![stream], SECRET, &order(address, 1, 100), |_| {}).await.unwrap();
    assert!(result.measured.succeeded > 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_given_up() {
    let (stream, _silent) = tokio::io::duplex(64 * 1024);
    let order = order("127.0.0.1:1".parse().unwrap(), 1, 100);
    let text = conduct(vec![stream], SECRET, &order, |_| {}).await.unwrap_err().to_string();
    assert_eq!(text, "no agent gave a result: agent 0: silent for 10 s");
}

/// The program, killed when the test ends.
struct Program {
    child: Child,
    address: String,
}

impl Program {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_e2e-agent"))
            .env(LISTEN, "127.0.0.1:0")
            .env(TOKEN, SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_agent_shows_as_missing_coverage() {
    let address = answering(|_, _| OK.to_owned()).await;
    let mut programs: Vec<Program> = (0..3).map(|_| Program::start()).collect();
    let mut streams = Vec::new();
    for program in &programs {
        streams.push(TcpStream::connect(&program.address).await.unwrap());
    }
    // Killed once the load runs.
    let watch = |snapshot: &Snapshot| {
        if snapshot.started && snapshot.requests > 0 {
            let _ = programs[1].child.kill();
        }
    };
    let result: LoadResult<ClientReport> = conduct(streams, SECRET, &order(address, 6, 4000), watch).await.unwrap();

    let missing: Vec<_> = result.missing_agents().collect();
    assert_eq!(missing.len(), 1, "{:?}", result.agents);
    assert_eq!((missing[0].agent, missing[0].first_client, missing[0].clients), (1, 2, 2));
    let reason = missing[0].missing.as_deref().unwrap();
    assert!(reason.starts_with("connection "), "{reason}");
    assert_eq!((result.clients, result.clients_ready, result.client_reports.len()), (6, 4, 4));
    assert!(result.measured.succeeded > 0);
}

#[test]
fn the_program_says_what_it_lacks() {
    let run = |listen: &str, token: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_e2e-agent"));
        command.env(LISTEN, listen).env_remove(TOKEN);
        let output = command.envs(token.map(|token| (TOKEN, token))).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for token in [None, Some("")] {
        let (code, text) = run("127.0.0.1:0", token);
        let expected = "e2e-agent: E2E_AGENT_TOKEN is not set, set it to the run's token\n";
        assert_eq!((code, text.as_str()), (Some(1), expected));
    }
    let (code, text) = run("here", Some("x"));
    assert!(code == Some(1) && text.starts_with("e2e-agent: cannot listen on here (E2E_AGENT_LISTEN): "), "{text}");
}
