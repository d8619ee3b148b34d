//! The program around an agent: [`main()`].

use std::env::VarError;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{DEFAULT_LISTEN, LISTEN, PROGRAM, TOKEN, UNKNOWN_NAME, serve};
use crate::load::Registry;

const USAGE: &str = "\
Generates the share of a load that a conductor orders, or checks what it can reach.

Usage: e2e-agent
       e2e-agent look HOST:PORT...   looks each name up and connects; a line for each, exit code 1 when a connection fails, 3 when a
                                     name is not known

Environment:
  E2E_AGENT_TOKEN   the token of conductors; whoever has it can make this process send requests to any address
  E2E_AGENT_LISTEN  where to listen, 0.0.0.0:7070 unless told otherwise";

/// Whether this process was started under the name `e2e-agent`: images of agents hold whole programs under that name, which then hand
/// over to [`main()`] before they do anything else.
pub fn is_asked_for() -> bool {
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == PROGRAM))
}

/// The program `e2e-agent`, for a binary that knows more scenarios than the framework's own.
///
/// ```no_run
/// use e2e_load::{agent, load::{Registry, RequestHead, scenarios::Fixed}};
///
/// fn main() -> std::process::ExitCode {
///     let ping = |path: String| RequestHead::new("GET", &path, "localhost").map(|head| Fixed::new(&head, None));
///     agent::main(&Registry::default().with("ping", ping))
/// }
/// ```
pub fn main(registry: &Registry) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("e2e-agent: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.split_first() {
        None => match runtime.block_on(run(registry)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("e2e-agent: {error}");
                ExitCode::FAILURE
            }
        },
        Some((verb, targets)) if verb == "look" && !targets.is_empty() => runtime.block_on(look(targets)),
        Some(_) => {
            println!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// How long a name or a connection may take.
const LOOK_LIMIT: Duration = Duration::from_secs(3);

/// Prints `HOST:PORT ok ADDRESS in N ms`, `HOST:PORT failed REASON` or `HOST:PORT unknown REASON` for each target.
async fn look(targets: &[String]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for target in targets {
        let started = Instant::now();
        let addresses = match limited(lookup_host(target)).await {
            Ok(addresses) => addresses.collect::<Vec<_>>(),
            Err(error) => {
                println!("{target} unknown {error}");
                code = ExitCode::from(UNKNOWN_NAME);
                continue;
            }
        };
        let connected = limited(TcpStream::connect(&addresses[..])).await.and_then(|stream| stream.peer_addr());
        match connected {
            Ok(address) => println!("{target} ok {address} in {:.1} ms", started.elapsed().as_secs_f64() * 1000.0),
            Err(error) => {
                println!("{target} failed {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

/// As a future of the system's, with a limit.
async fn limited<T>(future: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    timeout(LOOK_LIMIT, future).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

/// A variable's value; one that is no text is not taken for one that is not set.
fn variable(name: &str) -> Result<Option<String>, String> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        // Its text may be a secret.
        Err(VarError::NotUnicode(_)) => Err(format!("{name}: the value is not UTF-8")),
    }
}

/// Listens as the environment says, tells where on standard output, and serves conductors until `stop`; `say` as for [`serve()`].
///
/// # Errors
///
/// When the environment has no token, or the address cannot be listened on.
pub async fn listen(
    registry: &Registry,
    stop: impl Future<Output = ()>,
    say: impl FnMut(String),
) -> Result<(), String> {
    let token = variable(TOKEN)?.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| format!("{TOKEN} is not set, set it to the run's token"))?;
    let address = variable(LISTEN)?.unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
    let listener = TcpListener::bind(&address).await;
    let listener = listener.map_err(|error| format!("cannot listen on {address} ({LISTEN}): {error}"))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on {local}");
    tokio::select! {
        never = serve(listener, &token, registry, say) => match never {},
        () = stop => Ok(()),
    }
}

async fn run(registry: &Registry) -> Result<(), String> {
    // The first process of a container has no default handler for it.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let stop = async {
        terminate.recv().await;
    };
    listen(registry, stop, |line| println!("{line}")).await
}
