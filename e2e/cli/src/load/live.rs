//! Live progress of the load, once a second on standard error: a bar on a terminal, lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use e2e_load::load::Snapshot;
use indicatif::{ProgressBar, ProgressStyle};

/// The view of one run.
pub(super) struct Live {
    started: Option<Instant>,
    before: (Instant, u64),
    whole: Duration,
    bar: Option<ProgressBar>,
}

impl Live {
    /// For a run of this length.
    pub(super) fn new(whole: Duration) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:24} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(whole.as_millis() as u64).with_style(style)
        });
        Self { started: None, before: (Instant::now(), 0), whole, bar }
    }

    /// Shows the progress since the last call.
    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        let (then, requests) = std::mem::replace(&mut self.before, (now, snapshot.requests));
        let seconds = (now - then).as_secs_f64();
        let rate = if seconds > 0.0 { snapshot.requests.saturating_sub(requests) as f64 / seconds } else { 0.0 };
        if snapshot.started && self.started.is_none() {
            self.started = Some(now);
        }
        let elapsed = self.started.map_or(Duration::ZERO, |started| now - started);
        let text = text(snapshot, rate, elapsed);
        match &self.bar {
            Some(bar) => {
                bar.set_position(elapsed.min(self.whole).as_millis() as u64);
                bar.set_message(text);
            }
            None => eprintln!("{text}"),
        }
    }

    /// Clears the bar before the result is printed.
    pub(super) fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn text(snapshot: &Snapshot, rate: f64, elapsed: Duration) -> String {
    if !snapshot.started {
        return format!("{} clients setting up, {} ready", snapshot.clients_setting_up, snapshot.clients_ready);
    }
    let latency = match snapshot.latency_ms_p50.zip(snapshot.latency_ms_p99) {
        Some((p50, p99)) => format!("p50 {p50:.2} ms, p99 {p99:.2} ms, "),
        None => String::new(),
    };
    format!("{:>4} s  {rate:>9.0} requests/s, {latency}{} errors", elapsed.as_secs(), snapshot.errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_latency_and_errors() {
        let snapshot = Snapshot {
            requests: 100,
            errors: 3,
            clients_ready: 4,
            started: true,
            latency_ms_p50: Some(1.234),
            latency_ms_p99: Some(10.0),
            ..Snapshot::default()
        };
        let line = text(&snapshot, 2000.4, Duration::from_secs(3));
        assert_eq!(line, "   3 s       2000 requests/s, p50 1.23 ms, p99 10.00 ms, 3 errors");
        let waiting = Snapshot { clients_setting_up: 2, ..Snapshot::default() };
        assert_eq!(text(&waiting, 0.0, Duration::ZERO), "2 clients setting up, 0 ready");
    }
}
