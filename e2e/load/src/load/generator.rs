//! The generator's thread: makes the clients, starts and ends the window, measures itself. The entrance is [`run`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::watch;
use tokio::time::sleep_until;

use e2e_figures::Generator;

use super::client::{Shared, Stage, drive};
use super::gate::{Gate, Window};
use super::progress::Counters;
use super::recorder::{Recorded, Recorder};
use super::result::{LoadResult, OpenResult, Totals};
use super::scenario::{Client, Scenario};
use super::tls::Connector;
use super::{Error, Model, Orders, Settings};
use crate::clock::unix_ms;
use e2e_figures::scenario::per_second;
use e2e_figures::stats::{Samples, milliseconds, rounded};

/// A run's result for a scenario.
pub(super) type ResultOf<S> = LoadResult<<<S as Scenario>::Client as Client>::Report>;

/// What the thread hears and tells while it runs.
pub(super) struct Signals {
    /// A handle that was dropped means stop as well.
    pub(super) orders: watch::Receiver<Orders>,
    /// Set when the clients are ready.
    pub(super) ready: watch::Sender<bool>,
}

/// The generator looks this often how late its wake-ups are, for scenarios that never pause.
const HEARTBEAT: Duration = Duration::from_millis(10);

/// Live figures are at most this old.
const PUBLISHING: Duration = Duration::from_millis(250);

/// A runtime for this thread.
pub(super) fn runtime() -> Result<LocalRuntime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
        .map_err(Error::Runtime)
}

/// Runs a scenario on this thread, which should do nothing else.
pub(super) async fn run<S: Scenario>(
    settings: &Settings,
    scenario: &S,
    connector: Option<Connector>,
    counters: Arc<Counters>,
    signals: Signals,
) -> Result<ResultOf<S>, Error> {
    let shared = Rc::new(Shared {
        address: settings.address,
        connector,
        request_timeout: settings.request_timeout,
        limits: settings.limits,
        run_start: Instant::now(),
        window: Cell::new(None),
        stage: watch::Sender::new(Stage::SetUp),
        setting_up: watch::Sender::new(settings.clients),
        recorder: RefCell::new(Recorder::new(scenario.steps())),
        counters,
        gate: settings.schedule().map(|schedule| Gate::new(schedule, settings.clients)),
    });
    let clients: Vec<_> = (0..settings.clients)
        .map(|position| {
            let identity = settings.identity(position);
            tokio::task::spawn_local(drive(shared.clone(), position, identity, scenario.client(identity)))
        })
        .collect();
    // Lives until every client has ended, which may be later than the window: that is what closes the channel.
    let _running = signals.ready.clone();
    let conducting = tokio::task::spawn_local(conduct(shared.clone(), settings.clone(), signals));
    let heart = tokio::task::spawn_local(beat(shared.clone()));
    let publisher = tokio::task::spawn_local(publish(shared.clone()));

    let mut client_reports = Vec::with_capacity(clients.len());
    for client in clients {
        client_reports.push(client.await.map_err(Error::from_panic)?);
    }
    shared.stage.send_replace(Stage::Ended);
    let conducted = conducting.await.map_err(Error::from_panic)??;
    for task in [heart, publisher] {
        task.abort();
        let _ = task.await;
    }
    Ok(collect(&shared, settings, scenario, &conducted, client_reports))
}

struct Conducted {
    clients_ready: u32,
    window: Window,
    window_start_unix_ms: u64,
    generator: Generator,
    stopped: bool,
}

/// Starts the window when all clients are ready, and ends it.
async fn conduct(shared: Rc<Shared>, settings: Settings, mut signals: Signals) -> Result<Conducted, Error> {
    let mut setting_up = shared.setting_up.subscribe();
    tokio::select! {
        // The sender lives in `shared`, so that an error cannot occur.
        _ = setting_up.wait_for(|clients| *clients == 0) => {}
        () = tokio::time::sleep(settings.set_up_limit) => {}
        () = signals.stopped() => {}
    }
    signals.ready.send_replace(true);
    let mut stopped = signals.released().await;
    let start = Instant::now();
    let window_start_unix_ms = unix_ms(SystemTime::now() + settings.warm_up);
    let measured_from = start + settings.warm_up;
    let mut window = Window { start, measured_from, end: measured_from + settings.duration };
    shared.window.set(Some(window));
    if let Some(gate) = &shared.gate {
        gate.open(window);
    }
    let dispatching = tokio::task::spawn_local(dispatch(shared.clone()));
    shared.recorder.borrow_mut().start_series(measured_from);
    shared.counters.start();
    let clients_ready = shared.counters.snapshot().clients_ready;
    // When every client has finished already, the run has ended and stays so.
    shared.stage.send_if_modified(|stage| {
        let starts = *stage == Stage::SetUp;
        if starts {
            *stage = Stage::Running;
        }
        starts
    });

    stopped = stopped || wait_until(measured_from, &shared, &mut signals).await;
    let meter = Meter::start();
    shared.recorder.borrow_mut().lag.clear();
    stopped = stopped || wait_until(window.end, &shared, &mut signals).await;
    let mut generator = meter.stop();
    window.end = window.end.min(Instant::now());
    window.measured_from = window.measured_from.min(window.end);
    shared.window.set(Some(window));
    shared.stage.send_replace(Stage::Ended);
    if let Some(gate) = &shared.gate {
        gate.close();
    }
    dispatching.await.map_err(Error::from_panic)?.map_err(Error::Timer)?;
    generator.lag_ms_p99 = shared.recorder.borrow().lag.quantile_ms(0.99);
    Ok(Conducted { clients_ready, window, window_start_unix_ms, generator, stopped })
}

/// Hands the open model's requests out. How late it is tells how busy the thread is.
async fn dispatch(shared: Rc<Shared>) -> std::io::Result<()> {
    match &shared.gate {
        Some(gate) => gate.dispatch(|lag| shared.recorder.borrow_mut().lag.record(lag)).await,
        None => Ok(()),
    }
}

impl Signals {
    /// Waits for the release; true when the run is to stop instead.
    async fn released(&mut self) -> bool {
        let told = self.orders.wait_for(|orders| orders.released || orders.stopped).await;
        told.map_or(true, |orders| orders.stopped)
    }

    async fn stopped(&mut self) {
        let _ = self.orders.wait_for(|orders| orders.stopped).await;
    }
}

/// Waits until a time or until every client has finished; true when the run is to stop instead.
async fn wait_until(time: Instant, shared: &Shared, signals: &mut Signals) -> bool {
    if Instant::now() >= time {
        // A timer fires only after the tasks that are ready now, which are all the clients.
        return false;
    }
    let mut stage = shared.stage.subscribe();
    tokio::select! {
        () = sleep_until(time.into()) => false,
        _ = stage.wait_for(|stage| *stage == Stage::Ended) => false,
        () = signals.stopped() => true,
    }
}

/// Records how late the thread's wake-ups are, where no schedule does.
async fn beat(shared: Rc<Shared>) {
    while shared.gate.is_none() {
        let wake = Instant::now() + HEARTBEAT;
        sleep_until(wake.into()).await;
        shared.recorder.borrow_mut().lag.record(wake.elapsed());
    }
}

/// Shows the latencies of the last whole second to those who watch.
async fn publish(shared: Rc<Shared>) {
    let mut look = tokio::time::interval(PUBLISHING);
    loop {
        look.tick().await;
        if let Some((p50, p99)) = shared.recorder.borrow().last_second() {
            shared.counters.show(p50, p99);
        }
    }
}

fn collect<S: Scenario>(
    shared: &Shared,
    settings: &Settings,
    scenario: &S,
    conducted: &Conducted,
    client_reports: Vec<<S::Client as Client>::Report>,
) -> ResultOf<S> {
    let recorder = shared.recorder.replace(Recorder::new(Vec::new()));
    let Window { start, measured_from, end } = conducted.window;
    let duration = end - measured_from;
    let mut connections = recorder.connections.clone();
    connections.connect_ms = recorder.connecting.summary();
    let connecting = recorder.connecting.clone();
    let uncorrected = recorder.uncorrected.clone();
    let Recorded { totals: [set_up, warm_up, measured], steps, series, series_samples, tenths, first_errors } =
        recorder.finish(duration);
    let open = open(shared, settings, conducted.window, &measured, uncorrected);
    let mut generator = conducted.generator;
    generator.saturated =
        generator.is_saturated(open.as_ref().map_or(measured.requests, |open| open.due), open.is_some());
    LoadResult {
        scenario: scenario.name().to_owned(),
        clients: settings.clients,
        clients_ready: conducted.clients_ready,
        seed: settings.seed,
        set_up_ms: milliseconds(start - shared.run_start),
        warm_up_ms: milliseconds(measured_from.saturating_duration_since(start)),
        window_start_unix_ms: conducted.window_start_unix_ms,
        duration_ms: milliseconds(duration),
        stopped: conducted.stopped,
        set_up,
        warm_up,
        succeeded_per_second: per_second(measured.succeeded, milliseconds(duration)),
        open,
        measured,
        steps,
        series,
        series_samples,
        tenths,
        connections,
        connecting,
        generator,
        first_errors,
        client_reports,
        agents: Vec::new(),
    }
}

/// What became of the open model's schedule.
fn open(
    shared: &Shared,
    settings: &Settings,
    window: Window,
    measured: &Totals,
    uncorrected: Samples,
) -> Option<OpenResult> {
    let (Some(gate), Model::Open(arrivals)) = (&shared.gate, settings.model) else {
        return None;
    };
    let (late, dropped) = gate.finish(window.end);
    Some(OpenResult {
        arrivals,
        due: measured.requests + dropped,
        late,
        dropped,
        latency_uncorrected_ms: uncorrected.summary(),
        uncorrected,
    })
}

/// Measures what this thread uses.
struct Meter {
    started: Instant,
    cpu: Duration,
    cpu_wait: Option<Duration>,
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: thread_cpu(), cpu_wait: thread_cpu_wait() }
    }

    fn stop(self) -> Generator {
        let wall_seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = thread_cpu().saturating_sub(self.cpu).as_secs_f64();
        let share = |seconds: f64| if wall_seconds > 0.0 { rounded(seconds / wall_seconds, 4) } else { 0.0 };
        let cpu_share = share(cpu_seconds);
        let waited = thread_cpu_wait().zip(self.cpu_wait).map(|(now, before)| now.saturating_sub(before));
        let cpu_wait_seconds = waited.map(|waited| waited.as_secs_f64());
        let wait_share = cpu_wait_seconds.map(share);
        Generator {
            cpu_seconds,
            wall_seconds,
            cpu_share,
            cpu_wait_seconds,
            wait_share,
            lag_ms_p99: None,
            // Whether that is much shows with what was asked for: `collect`.
            saturated: false,
        }
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The clock starts at 0 with the thread and nanoseconds are below a second.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How long this thread was runnable without a core: the second figure of schedstat, in nanoseconds.
fn thread_cpu_wait() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}
