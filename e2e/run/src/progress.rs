//! Progress on standard error: bars on a terminal, plain lines elsewhere. Main type: [`Progress`].

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _},
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_plan::{duration::human, words::counted};
use e2e_report::env_vars::{GITHUB_ACTIONS, NO_COLOR};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// A longer silence looks like a hang.
const SILENCE: Duration = Duration::from_secs(15);

/// Shows progress.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// Time of the last line.
    said: Mutex<Instant>,
    bars: Option<MultiProgress>,
    /// Pods or components: their lines on a terminal, and what was last said of each.
    rows: Mutex<BTreeMap<String, (ProgressBar, String)>>,
    live: Mutex<Option<ProgressBar>>,
    phases: Mutex<Phases>,
    is_github: bool,
}

/// The parts of a run, in order.
#[derive(Debug, Default)]
struct Phases {
    done: Vec<(&'static str, Duration)>,
    current: Option<(&'static str, Instant)>,
    bar: Option<ProgressBar>,
}

impl Phases {
    /// Ends the phase that is going on.
    fn end(&mut self) {
        self.done.extend(self.current.take().map(|(name, began)| (name, began.elapsed())));
    }

    /// `prepare 0.3 s, build 12.1 s`.
    fn told(&self) -> String {
        let told = self.done.iter().map(|(name, took)| format!("{name} {}", human(*took)));
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Progress {
    /// Bars when standard error is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let started = Instant::now();
        Self {
            started,
            said: Mutex::new(started),
            bars,
            rows: Mutex::default(),
            live: Mutex::default(),
            phases: Mutex::default(),
            is_github: std::env::var_os(GITHUB_ACTIONS).is_some_and(|value| value == "true"),
        }
    }

    /// Whether GitHub Actions reads what this program prints.
    pub(crate) fn is_github(&self) -> bool {
        self.is_github
    }

    /// Begins a phase, which ends the one before: a line at the bottom of a terminal, a group in the log of GitHub Actions.
    pub fn phase(&self, name: &'static str) {
        let mut phases = self.phases.lock();
        if self.is_github {
            if phases.current.is_some() {
                self.plain("::endgroup::");
            }
            self.plain(&format!("::group::{name}"));
        }
        phases.end();
        phases.current = Some((name, Instant::now()));
        let told = phases.told();
        let text = if told.is_empty() { name.to_owned() } else { format!("{told}, {name}") };
        if let Some(bars) = &self.bars {
            let bar = phases.bar.get_or_insert_with(|| {
                let bar = bars.add(ProgressBar::new_spinner());
                ticking(bar, "{msg:.dim} {elapsed}", Duration::from_secs(1))
            });
            bar.reset_elapsed();
            bar.set_message(text);
        }
    }

    /// Ends the last phase and prints how long each took.
    pub(crate) fn phases_done(&self) {
        let mut phases = std::mem::take(&mut *self.phases.lock());
        let is_open = phases.current.is_some();
        phases.end();
        if let Some(bar) = &phases.bar {
            bar.finish_and_clear();
        }
        if self.is_github && is_open {
            self.parting_plain("::endgroup::");
        }
        if !phases.done.is_empty() {
            self.parting_line(format!("phases: {}", phases.told()));
        }
    }

    /// Prints a permanent line. Panics if standard error is closed, which ends a run like any other program.
    pub fn line(&self, text: impl AsRef<str>) {
        self.plain(&self.timed(text.as_ref()));
    }

    /// The same during removal, which continues even if standard error is closed.
    pub(crate) fn parting_line(&self, text: impl AsRef<str>) {
        self.parting_plain(&self.timed(text.as_ref()));
    }

    fn parting_plain(&self, line: &str) {
        let write = || {
            let _ = writeln!(std::io::stderr(), "{line}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn timed(&self, text: &str) -> String {
        format!("[{:>6.1} s] {text}", self.started.elapsed().as_secs_f64())
    }

    /// Prints a permanent line verbatim.
    pub fn plain(&self, line: &str) {
        *self.said.lock() = Instant::now();
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Shows the pods that changed: a line each, or an update of their bars.
    pub fn pods(&self, snapshot: &Snapshot) {
        for (name, pod) in &snapshot.pods {
            let state = match (pod.ready, pod.started) {
                (true, _) => "ready",
                (false, true) => "started",
                (false, false) => &pod.status,
            };
            let bar = self.row(name, &row(name, state, pod.restarts), String::new());
            if pod.ready && pod.restarts == 0 {
                bar.finish();
            }
        }
    }

    /// Shows the components that changed. Only a terminal shows the first look: all are as the bring-up has left them.
    pub fn components(&self, snapshot: &Snapshot, component_of: impl Fn(&str) -> Option<String>) {
        let mut components: BTreeMap<String, (u64, u64, u32)> = BTreeMap::new();
        for (name, pod) in &snapshot.pods {
            let Some(component) = component_of(name) else { continue };
            let (ready, pods, restarts) = components.entry(component).or_default();
            *ready += u64::from(pod.ready);
            *pods += 1;
            *restarts += pod.restarts;
        }
        for (name, (ready, pods, restarts)) in components {
            let text = row(&name, &format!("{ready} of {} ready", counted(pods, "pod")), restarts);
            let known = if self.bars.is_some() { String::new() } else { text.clone() };
            self.row(&name, &text, known);
        }
    }

    /// Shows a line unless it was the last one under its name, or it is the first and `known`. Returns its bar.
    fn row(&self, name: &str, text: &str, known: String) -> ProgressBar {
        let mut rows = self.rows.lock();
        let (bar, last) = rows.entry(name.to_owned()).or_insert_with(|| (self.spinner(), known));
        if last != text {
            bar.set_message(text.to_owned());
            if self.bars.is_none() {
                self.line(text);
            }
            text.clone_into(last);
        }
        bar.clone()
    }

    /// Keeps the lines as they are, and what is shown next gets new ones.
    pub(crate) fn rows_done(&self) {
        for (bar, _) in std::mem::take(&mut *self.rows.lock()).into_values() {
            bar.finish();
        }
    }

    /// Updates the live figure: rate and errors during a load.
    pub fn live(&self, text: &str) {
        if self.bars.is_none() {
            return self.line(text);
        }
        let mut live = self.live.lock();
        live.get_or_insert_with(|| self.spinner()).set_message(text.to_owned());
    }

    /// Progress of a long step, such as a build: a changing line on a terminal, elsewhere a line after each longer silence.
    pub fn step(&self, text: &str) {
        let silent = || self.said.lock().elapsed();
        if self.bars.is_some() || silent() >= SILENCE {
            self.live(text);
        }
    }

    /// Removes the live figure.
    pub(crate) fn live_done(&self) {
        if let Some(bar) = self.live.lock().take() {
            bar.finish_and_clear();
        }
    }

    fn spinner(&self) -> ProgressBar {
        let Some(bars) = &self.bars else { return ProgressBar::hidden() };
        let phases = self.phases.lock();
        let bar = match &phases.bar {
            // The phases stay at the bottom.
            Some(phases) => bars.insert_before(phases, ProgressBar::new_spinner()),
            None => bars.add(ProgressBar::new_spinner()),
        };
        ticking(bar, "{spinner} {msg}", Duration::from_millis(100))
    }
}

fn ticking(bar: ProgressBar, template: &str, tick: Duration) -> ProgressBar {
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(tick);
    bar
}

/// `backend-0      ready, 1 restart`.
fn row(name: &str, state: &str, restarts: u32) -> String {
    let restarts = match restarts {
        0 => String::new(),
        restarts => format!(", {}", counted(u64::from(restarts), "restart")),
    };
    format!("{name:<14} {state}{restarts}")
}

/// Whether standard output is a terminal and colour is not disabled.
pub fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os(NO_COLOR).is_none()
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
