//! In the steady state the generator allocates nothing per request. A binary of its own, because it replaces the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use declared::throughput;
use e2e_load::load::scenarios::{LedgerSpec, StepsScenario};
use e2e_load::load::{self, Client, Identity, Moment, Next, Outcome, Phase, Response, Scenario, Settings, Step};

#[path = "load/declared.rs"]
mod declared;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count per thread.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; every call is passed on unchanged")]
// SAFETY: all calls go to the system's allocator, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one that the system's allocator needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    // A thread that is ending has no count any more, and no requests either.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

/// What the generator's thread had allocated when the first client finished the warm-up, and when it finished.
static AT_WINDOW: AtomicU64 = AtomicU64::new(0);
static AT_END: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_request_allocates_nothing() {
    let settings = Settings {
        clients: 4,
        warm_up: Duration::from_millis(200),
        duration: Duration::from_millis(1000),
        ..Settings::new(serve())
    };
    // Keys that answers give are kept: the text of each client grows by doubling, 10 times up to 20,000 keys of 50 bytes.
    let mut given = throughput();
    given.steps[1].capture = [("given".to_owned(), "/operation".to_owned())].into();
    given.ledger = Some(LedgerSpec { key: "${given}".to_owned(), step: None });
    for (steps, most) in [(throughput(), 20), (given, 20 + 4 * 10)] {
        AT_WINDOW.store(0, Ordering::Relaxed);
        let scenario = Watched(StepsScenario::new(&steps).unwrap());
        let result = load::start(settings.clone(), scenario).unwrap().wait().unwrap();

        assert_eq!(result.measured.errors, 0, "{:?}", result.first_errors);
        let ledgers = result.client_reports.iter().filter_map(|report| report.ledger.as_ref());
        let acknowledged: u64 = ledgers.map(|ledger| ledger.acknowledged.count).sum();
        assert_eq!(acknowledged, result.warm_up.succeeded + result.measured.succeeded);
        let allocations = AT_END.load(Ordering::Relaxed) - AT_WINDOW.load(Ordering::Relaxed);
        assert!(result.measured.requests > 10 * most, "{:?}", result.measured);
        // The window's own: histograms of a phase are made at its first request, the clients and the series grow a little. None
        // of that depends on the number of requests, which is at least ten times as large.
        assert!(allocations < most, "{allocations} allocations in {} requests", result.measured.requests);
    }
}

/// A model of the reference system on blocking threads, which have allocation counts of their own.
fn serve() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let request = std::str::from_utf8(&buffer[..length]).unwrap();
                    let body = match request.split_once("{\"operation\":\"") {
                        Some((_, rest)) => {
                            format!(r#"{{"operation":"{}","committed":true}}"#, rest.split('"').next().unwrap())
                        }
                        None => r#"{"id":1,"token":"abc"}"#.to_owned(),
                    };
                    // In one write: parts of a response would wait for each other's acknowledgement.
                    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(response.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

/// The steps, with a look at the allocations when the window begins and ends.
struct Watched(StepsScenario);

struct WatchedClient<C>(C);

impl Scenario for Watched {
    type Client = WatchedClient<<StepsScenario as Scenario>::Client>;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn steps(&self) -> Vec<String> {
        self.0.steps()
    }

    fn client(&self, identity: Identity) -> Self::Client {
        WatchedClient(self.0.client(identity))
    }
}

impl<C: Client> Client for WatchedClient<C> {
    type Report = C::Report;

    fn next(&mut self, at: &Moment, request: &mut Vec<u8>) -> Next {
        if at.phase == Phase::Measured {
            let allocations = ALLOCATIONS.get();
            let _ = AT_WINDOW.compare_exchange(0, allocations, Ordering::Relaxed, Ordering::Relaxed);
            AT_END.store(allocations, Ordering::Relaxed);
        }
        self.0.next(at, request)
    }

    fn receive(&mut self, at: &Moment, step: Step, response: &Response<'_>) -> Outcome {
        self.0.receive(at, step, response)
    }

    fn finish(self, at: &Moment) -> C::Report {
        self.0.finish(at)
    }
}
