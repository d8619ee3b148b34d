//! What makes liveness restart containers that a restart does not help.

use e2e_plan::{Container, Probe, ProbeAction};

use super::{Remarks, Severity, patience, place};

/// Whole words of a path that say that an answer depends on others. A part of a word says nothing: `sandbox`, `already`.
const DEPENDENT: [&str; 11] = [
    "ready",
    "readyz",
    "readiness",
    "deep",
    "db",
    "database",
    "dependency",
    "dependencies",
    "depends",
    "deps",
    "dependent",
];

impl Remarks<'_> {
    pub(super) fn liveness(&mut self, container: &Container) {
        let Some(liveness) = &container.probes.liveness else { return };
        let field = format!("{}.livenessProbe", place(container));
        if liveness.failure_threshold == 1 {
            let reason = "one failed probe restarts the container: a single late answer is enough";
            let fix = "raise failureThreshold; a lower periodSeconds keeps the time until a restart";
            self.add("single-failure", Severity::Warning, format!("{field}.failureThreshold"), reason.to_owned(), fix);
        }
        match &container.probes.readiness {
            Some(readiness) if is_same(&liveness.action, &readiness.action) => {
                self.identical(liveness, readiness, field)
            }
            _ => self.dependent(liveness, field),
        }
    }

    /// Liveness must not share readiness's path if that checks dependencies: one failed dependency would restart every replica.
    fn identical(&mut self, liveness: &Probe, readiness: &Probe, field: String) {
        let asks = asked(&liveness.action);
        match (dependency(&liveness.action), patience(liveness) <= patience(readiness)) {
            (Some(word), _) => {
                let reason = format!(
                    "liveness and readiness both {asks}, and `{word}` suggests that it checks dependencies: when one fails, every replica is \
                     restarted, which does not bring it back"
                );
                self.add("identical-probes", Severity::Error, field, reason, PROCESS_ALONE);
            }
            (None, true) if self.may_serve => {
                let reason = format!(
                    "liveness and readiness both {asks}, and liveness gives up no later: a failure of {} s restarts the replica instead of \
                     taking it out of its Services for a while",
                    patience(liveness).as_secs_f64()
                );
                let fix = "point liveness at something else, or raise its failureThreshold";
                self.add("identical-probes", Severity::Warning, field, reason, fix);
            }
            (None, _) => {}
        }
    }

    /// The same path for liveness alone.
    fn dependent(&mut self, liveness: &Probe, field: String) {
        let Some(word) = dependency(&liveness.action) else { return };
        let reason = format!(
            "`{word}` in the path suggests that liveness checks dependencies: when one fails, every replica is restarted, which does not \
             bring it back"
        );
        self.add("dependent-liveness", Severity::Warning, field, reason, PROCESS_ALONE);
    }
}

const PROCESS_ALONE: &str = "point liveness at a path that checks only the process";

/// Whether two probes ask the same: a kubelet adds the slash with which a path begins.
fn is_same(one: &ProbeAction, other: &ProbeAction) -> bool {
    let with_slash = |action: &ProbeAction| {
        let mut action = action.clone();
        if let ProbeAction::HttpGet { path, .. } = &mut action
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
        action
    };
    with_slash(one) == with_slash(other)
}

/// What a probe does, as the end of a sentence.
fn asked(action: &ProbeAction) -> String {
    match action {
        ProbeAction::HttpGet { path, .. } => format!("ask {path}"),
        ProbeAction::TcpSocket { port, .. } => format!("connect to port {port}"),
        ProbeAction::Exec { command } => format!("run `{}`", command.join(" ")),
        ProbeAction::Grpc { port, .. } => format!("ask the health service on port {port}"),
    }
}

/// The word of a path that says that the answer depends on others.
fn dependency(action: &ProbeAction) -> Option<&'static str> {
    let ProbeAction::HttpGet { path, .. } = action else { return None };
    // A query has data.
    let path = path.split('?').next()?.to_lowercase();
    let words: Vec<&str> = path.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    DEPENDENT.into_iter().find(|word| words.contains(word))
}
