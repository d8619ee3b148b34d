//! Progress on standard error: bars on a terminal, plain lines elsewhere. Main type: [`Progress`].

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_plan::{duration::human, words::counted};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A longer silence looks like a hang.
const SILENCE: Duration = Duration::from_secs(15);

/// Shows progress.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// Time of the last line.
    said: Mutex<Instant>,
    bars: Option<MultiProgress>,
    pods: Mutex<BTreeMap<String, (ProgressBar, String)>>,
    live: Mutex<Option<ProgressBar>>,
}

impl Progress {
    /// Bars when standard error is a terminal.
    pub fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let started = Instant::now();
        Self { started, said: Mutex::new(started), bars, pods: Mutex::default(), live: Mutex::default() }
    }

    /// Prints a permanent line. Panics if standard error is closed, which ends a run like any other program.
    pub fn line(&self, text: impl AsRef<str>) {
        self.plain(&self.timed(text.as_ref()));
    }

    /// The same during removal, which continues even if standard error is closed.
    pub fn parting_line(&self, text: impl AsRef<str>) {
        let line = self.timed(text.as_ref());
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
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Shows the pods that changed: a line each, or an update of their bars.
    pub fn pods(&self, snapshot: &Snapshot) {
        let mut known = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pod) in &snapshot.pods {
            let state = match (pod.ready, pod.started) {
                (true, _) => "ready".to_owned(),
                (false, true) => "started".to_owned(),
                (false, false) => pod.status.clone(),
            };
            let restarts = match pod.restarts {
                0 => String::new(),
                restarts => format!(", {}", counted(u64::from(restarts), "restart")),
            };
            let text = format!("{name:<14} {state}{restarts}");
            let (bar, last) = known.entry(name.clone()).or_insert_with(|| (self.spinner(), String::new()));
            if *last != text {
                bar.set_message(text.clone());
                if pod.ready && pod.restarts == 0 {
                    bar.finish();
                }
                if self.bars.is_none() {
                    self.line(&text);
                }
                *last = text;
            }
        }
    }

    /// Removes the pods' bars.
    pub fn pods_done(&self) {
        for (bar, _) in std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner)).into_values() {
            bar.finish();
        }
    }

    /// Updates the live figure: rate and errors during a load.
    pub fn live(&self, text: &str) {
        if self.bars.is_none() {
            return self.line(text);
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get_or_insert_with(|| self.spinner()).set_message(text.to_owned());
    }

    /// Progress of a long step, such as a build: a changing line on a terminal, elsewhere a line after each longer silence.
    pub fn step(&self, text: &str) {
        let silent = || self.said.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if self.bars.is_some() || silent() >= SILENCE {
            self.live(text);
        }
    }

    /// Removes the live figure.
    pub fn live_done(&self) {
        if let Some(bar) = self.live.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> String {
        human(self.started.elapsed())
    }

    fn spinner(&self) -> ProgressBar {
        let Some(bars) = &self.bars else { return ProgressBar::hidden() };
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// Whether standard output is a terminal and colour is not disabled (<https://no-color.org>).
pub fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
