//! What the doctor found, for people. Main function: [`render`].

use std::fmt::Write;

use e2e_kubelet::diagnosis::{Confidence, Diagnosis};
use e2e_report::evidence::DoctorEntry;

/// One examination.
pub(super) fn render(diagnosis: &Diagnosis) -> String {
    let Diagnosis { observation, cause, flip, explanation, requests, confidence, fix, evidence, .. } = diagnosis;
    let mut text = match diagnosis.success() {
        true => format!("the probe succeeds ({})\n", observation.summary()),
        false => format!("the probe fails: {} ({})\n", observation.message, observation.summary()),
    };
    if let Some(warning) = &observation.warning {
        let _ = writeln!(text, "  with a warning: {}", warning.trim_end());
    }
    match (cause, confidence) {
        (Some(cause), Confidence::Proven) => {
            let _ = writeln!(text, "cause: {cause} (proven by {requests} requests)");
        }
        (Some(cause), _) => {
            let _ = writeln!(text, "cause: {cause} (the one explanation of {requests} requests)");
        }
        (None, _) if diagnosis.success() => {}
        (None, _) => {
            let _ = writeln!(text, "cause: unknown after {requests} requests");
        }
    }
    match (diagnosis.success(), cause) {
        (true, None) if !explanation.is_empty() => {
            let _ = writeln!(text, "  {explanation}");
        }
        (true, None) => {}
        _ => {
            let _ = writeln!(text, "  because {explanation}");
        }
    }
    if let Some(flip) = flip {
        let _ = writeln!(text, "  what was changed: {}, from `{}` to `{}`", flip.axis, flip.from, flip.to);
    }
    if let Some(fix) = fix {
        let _ = writeln!(text, "fix: {}", fix.summary);
        if let Some(patch) = &fix.patch {
            let checked = match fix.verified {
                Some(true) => " (the probe succeeds with it)",
                Some(false) => " (the probe fails with it too)",
                None => "",
            };
            let _ = writeln!(text, "patch{checked}:\n{patch}");
        }
    }
    if !diagnosis.success() || cause.is_some() {
        let _ = writeln!(text, "what was sent:");
        for (index, trial) in evidence.iter().enumerate() {
            let _ = writeln!(text, "  {:>2}. {}: {}", index + 1, trial.change, trial.summary);
        }
    }
    text
}

/// One probe of an environment: a line when it succeeds.
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
