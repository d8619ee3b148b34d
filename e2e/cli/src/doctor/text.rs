//! The doctor's result as text. Main function: [`render`].

use std::fmt::Write;

use e2e_kubelet::diagnosis::{Confidence, Diagnosis, Flip, RateMargin, Trial};
use e2e_report::evidence::DoctorEntry;

/// One examination: the problem, the fix, then the evidence.
pub(super) fn render(diagnosis: &Diagnosis) -> String {
    let Diagnosis { observation, cause, flip, explanation, confidence, fix, evidence, .. } = diagnosis;
    let mut text = match (diagnosis.success(), explanation.is_empty()) {
        (true, true) => format!("the probe succeeds ({})\n", observation.summary()),
        (true, false) => format!("the probe succeeds ({}): {explanation}\n", observation.summary()),
        (false, _) => format!("the probe fails: {}\n", shortened(explanation)),
    };
    if let Some(fix) = fix {
        let _ = writeln!(text, "fix: {}", fix.summary);
    }
    let counted = format!("{} different requests, {} in all", evidence.len(), diagnosis.sent());
    let cause = match (cause, confidence) {
        (Some(cause), Confidence::Proven) => Some(format!("{cause} (proven both ways by {counted})")),
        (Some(cause), _) => Some(format!("{cause} (likely: consistent with {counted})")),
        (None, _) if diagnosis.success() => None,
        (None, _) => Some(format!("unknown after {counted}")),
    };
    if let Some(cause) = cause {
        let _ = writeln!(text, "cause: {cause}");
    }
    if !observation.message.is_empty() {
        let _ = writeln!(text, "kubelet: {}", shortened(&observation.message));
    }
    if let Some(warning) = &observation.warning {
        let _ = writeln!(text, "kubelet warning: {}", shortened(warning.trim_end()));
    }
    if let Some(Flip { axis, from, to }) = flip {
        let named =
            |value: &str| if value.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(value)) };
        let _ = writeln!(text, "change: {axis}, from {} to {}", named(from), named(to));
    }
    if let Some((fix, patch)) = fix.as_ref().and_then(|fix| Some((fix, fix.patch.as_ref()?))) {
        let checked = match fix.verified {
            Some(true) => " (the probe succeeds with it)",
            Some(false) => " (the probe fails with it too)",
            None => "",
        };
        let _ = writeln!(text, "patch{checked}:\n{patch}");
    }
    if let Some(margin) = &diagnosis.rate_margin {
        let _ = writeln!(text, "under load: {}", held(margin));
    }
    if !diagnosis.success() || diagnosis.cause.is_some() {
        let _ = writeln!(text, "requests:");
        for (index, trial) in evidence.iter().enumerate() {
            let _ = writeln!(text, "  {:>2}. {}", index + 1, line(trial));
        }
    }
    text
}

/// Where the margin of a probe ends, as far as that was found.
fn held(margin: &RateMargin) -> String {
    let RateMargin { holds_per_second, fails_per_second, most_served_per_second, steps } = margin;
    match (holds_per_second, fails_per_second) {
        (Some(holds), Some(fails)) => {
            format!("in time up to {holds:.0} requests/s and no longer at {fails:.0}; {steps} rates were tried")
        }
        (Some(_), None) => format!(
            "in time at every rate; the app served {most_served_per_second:.0} requests/s at most, and {steps} rates were tried"
        ),
        (None, Some(fails)) => format!("too late at {fails:.0} requests/s, the lowest rate that was tried"),
        (None, None) => "no rate was measured: the probe did not succeed for long enough".to_owned(),
    }
}

/// A request and what came of it, each time.
fn line(Trial { change, summary, sent, succeeded, .. }: &Trial) -> String {
    let again = match sent {
        0 | 1 => String::new(),
        _ => format!(" (sent {sent} times, {succeeded} succeeded)"),
    };
    format!("{}: {}{again}", shortened(change), shortened(summary))
}

/// The maximum length of a text; JSON has the whole.
const SHOWN: usize = 200;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

/// One probe of an environment: a single line if it succeeds.
pub(super) fn render_entry(entry: &DoctorEntry) -> String {
    let DoctorEntry { pod, container, which, diagnosis, .. } = entry;
    let name = format!("{pod}/{container} {which}");
    let found = render(diagnosis);
    match diagnosis.success() && diagnosis.cause.is_none() {
        true => format!("{name}: {found}"),
        false => {
            let lines: Vec<String> = found.lines().map(|line| format!("    {line}")).collect();
            format!("{name}:\n{}\n", lines.join("\n"))
        }
    }
}
