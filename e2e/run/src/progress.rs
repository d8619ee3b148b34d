//! What a person who waits sees: bars on a terminal, plain lines elsewhere, always on standard error. Main type: [`Progress`].

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use e2e_kubelet::snapshot::Snapshot;
use e2e_plan::duration::human;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// After so long a silence people ask themselves whether anything still goes on.
const SILENCE: Duration = Duration::from_secs(15);

/// Shows what happens.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    /// When a line was printed last.
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

    /// One line that stays. A panic when nobody can read it any more, which ends a run as it does other programs.
    pub fn line(&self, text: impl AsRef<str>) {
        self.plain(&self.timed(text.as_ref()));
    }

    /// The same for what is said while things are removed, which goes on whether somebody can read it or not.
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

    /// One line that stays, as it is.
    pub fn plain(&self, line: &str) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The state of every pod; a line, or a change of its bar, for each one that changed.
    pub fn pods(&self, snapshot: &Snapshot) {
        let mut known = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, pod) in &snapshot.pods {
            let state = match (pod.ready, pod.started) {
                (true, _) => "ready".to_owned(),
                (false, true) => "started".to_owned(),
                (false, false) => pod.status.clone(),
            };
            let restarts = if pod.restarts > 0 { format!(", {} restarts", pod.restarts) } else { String::new() };
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

    /// Takes the pods' bars away.
    pub fn pods_done(&self) {
        for (bar, _) in std::mem::take(&mut *self.pods.lock().unwrap_or_else(PoisonError::into_inner)).into_values() {
            bar.finish();
        }
    }

    /// A figure that changes: rate and errors during a load.
    pub fn live(&self, text: &str) {
        if self.bars.is_none() {
            return self.line(text);
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get_or_insert_with(|| self.spinner()).set_message(text.to_owned());
    }

    /// What a long step is at, such as a build: a line that changes on a terminal, and elsewhere a line whenever nothing was said
    /// for a while.
    pub fn step(&self, text: &str) {
        let silent = || self.said.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        if self.bars.is_some() || silent() >= SILENCE {
            self.live(text);
        }
    }

    /// Takes the changing figure away.
    pub fn live_done(&self) {
        if let Some(bar) = self.live.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    /// How long it has been.
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

/// Whether standard output is a terminal that wants colour (<https://no-color.org>).
pub fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
