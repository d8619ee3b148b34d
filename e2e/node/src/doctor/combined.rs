//! Several changes at once: an app may refuse two things about the probe, and then no single change helps. A part of [`Lab`].

use e2e_kubelet::diagnosis::{Axis, Cause, Flip};

use super::{
    Claim, Found,
    differences::{PARTS, changes, named, of_path, take},
    lab::{Experiment, Lab},
};
use crate::probe::Prepared;

/// A part of the probe, its value and that of the request that works.
struct Part {
    axis: Axis,
    from: String,
    to: String,
}

impl Lab<'_> {
    /// Takes all differences of the working request over, then gives back each without which the probe still succeeds (delta debugging).
    /// The rest is needed together: the probe fails without any one of them.
    pub(super) async fn combined(&mut self, prepared: &Prepared, works: &Prepared) -> Option<Found> {
        let mut needed = parts(prepared, works);
        if !self.ask(with_parts(prepared, works, &needed)?).await?.answered() {
            return None;
        }
        // The last ones are the least telling.
        for index in (0..needed.len()).rev() {
            let part = needed.remove(index);
            if let Some(fewer) = with_parts(prepared, works, &needed)
                && !self.ask(fewer).await?.answered()
            {
                needed.insert(index, part);
            }
        }
        let mut fails = Vec::new();
        let mut found = None;
        for part in &needed {
            let others = needed.iter().filter(|other| other.axis != part.axis);
            let experiment = with_parts(prepared, works, others)?;
            let answer = self.ask(experiment.clone()).await?;
            fails.push(experiment);
            if found.is_none() {
                found = cause_of(part, works, answer.status).map(|cause| (cause, part));
            }
        }
        let (cause, part) = found?;
        let all = with_parts(prepared, works, &needed)?;
        let sent = all.http()?;
        if part.axis == Axis::Host {
            let stranger = self.stranger(sent, &part.to);
            // A Host that is refused only for its syntax would be another cause.
            if self.ask(stranger.clone()).await?.answered() {
                return None;
            }
            fails.push(stranger);
        }
        if (part.axis, cause) == (Axis::Path, Cause::MissingHeader) {
            fails.push(self.refused_with_another_query(sent, &part.to).await?);
        }
        let told: Vec<String> = needed.iter().map(|part| named(part.axis, &part.to)).collect();
        let explanation = format!("no single change makes it succeed, but these together do: {}", told.join(", "));
        let changes = needed.iter().map(|part| changes(part.axis, &part.to, works));
        let changes = changes.collect::<Option<Vec<_>>>()?.concat();
        let flip = Flip::new(part.axis, &part.from, &part.to);
        let found = Found::of_flip(cause, flip, explanation, changes);
        self.prove(Claim { found, fails, succeeds: vec![all] }).await
    }
}

/// The parts in which the working request differs.
fn parts(prepared: &Prepared, works: &Prepared) -> Vec<Part> {
    let part = |axis| {
        let (from, to) = take(axis, &mut prepared.clone(), works)?;
        Some(Part { axis, from, to })
    };
    PARTS.into_iter().filter_map(part).collect()
}

/// The probe with these parts of the working request; `None` without any.
fn with_parts<'a>(
    prepared: &Prepared,
    works: &Prepared,
    parts: impl IntoIterator<Item = &'a Part>,
) -> Option<Experiment> {
    let mut changed = prepared.clone();
    let mut names = Vec::new();
    for Part { axis, .. } in parts {
        let (_, to) = take(*axis, &mut changed, works)?;
        names.push(named(*axis, &to));
    }
    (!names.is_empty()).then(|| Experiment::new(format!("the probe with {}", names.join(", ")), changed))
}

/// The cause for a part without which the probe is answered with `status`.
fn cause_of(part: &Part, works: &Prepared, status: Option<u16>) -> Option<Cause> {
    match part.axis {
        Axis::Host => Some(Cause::HostAllowList),
        // Not whether its bytes are refused: that takes requests of their own.
        Axis::Path => of_path(&part.from, &part.to, status).filter(|cause| *cause != Cause::MalformedPath),
        Axis::Headers if !works.request.headers.is_empty() => Some(Cause::MissingHeader),
        Axis::UserAgent | Axis::Accept => Some(Cause::HeaderRefused),
        _ => None,
    }
}
