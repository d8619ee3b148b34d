//! Start and end of an instance, with its hooks: `startContainer`, `killContainer` and `executePreStopHook` in
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

use std::time::Duration;

use e2e_plan::HookKind;

use super::{Action, MIN_GRACE, Phase, Worker};
use crate::status::{ContainerState, EventType, add_event};

/// The end of the running instance, as far as hooks have a part in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    pub(super) hook_failed: bool,
    /// The kill that waits for the preStop hook.
    kill: Option<Kill>,
}

#[derive(Debug, Clone)]
struct Kill {
    since: Duration,
    grace: Duration,
    reason: String,
}

impl Worker {
    pub(super) fn started(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let message = format!("Started container {}", self.container);
        self.say(now, EventType::Normal, "Started", &message);
        self.leaving = false;
        if self.policy.post_start {
            self.phase = Phase::PostStart(now);
            actions.push(Action::RunHook { which: HookKind::PostStart, limit: None });
        } else {
            self.runs(now, now);
        }
    }

    /// The instance that has started at `since` counts as running from now on.
    fn runs(&mut self, now: Duration, since: Duration) {
        self.spared_until = self.spare.take().map_or(Duration::ZERO, |spare| now + spare);
        if self.status.last_termination.is_some() {
            self.status.restart_count += 1;
        }
        self.phase = Phase::Running(since);
        self.status.state = ContainerState::Running { since };
        self.probing.reset(now, since);
    }

    /// Kills the instance that runs since `since`, after its preStop hook. The hook's time is part of the grace period.
    pub(super) fn kill(&mut self, now: Duration, since: Duration, grace: Duration, reason: String) -> Action {
        self.say(now, EventType::Normal, "Killing", &reason);
        self.phase = Phase::Killing(since);
        if !self.policy.pre_stop || grace.is_zero() {
            return Action::Kill { grace: grace.max(MIN_GRACE), reason };
        }
        self.ending.kill = Some(Kill { since: now, grace, reason });
        Action::RunHook { which: HookKind::PreStop, limit: Some(grace) }
    }

    pub(super) fn hook_ended(
        &mut self,
        now: Duration,
        which: HookKind,
        failure: Option<String>,
        actions: &mut Vec<Action>,
    ) {
        let failed = failure.is_some();
        let mut say = |failure: Option<String>| {
            let Some(failure) = failure else { return };
            // A kubelet keeps what comes after the colon to its log.
            let message = format!("{which}Hook failed: {failure}");
            add_event(&mut self.events, now, EventType::Warning, &format!("Failed{which}Hook"), &message);
        };
        match (which, self.phase) {
            (HookKind::PostStart, Phase::PostStart(since)) => {
                say(failure);
                if failed {
                    self.ending.hook_failed = true;
                    actions.push(self.kill(now, since, self.policy.grace, "FailedPostStartHook".to_owned()));
                } else {
                    self.runs(now, since);
                }
            }
            (HookKind::PreStop, Phase::Killing(_)) => {
                say(failure);
                let Some(Kill { since, grace, reason }) = self.ending.kill.take() else { return };
                // It counts whole seconds.
                let left = grace.saturating_sub(Duration::from_secs((now - since).as_secs()));
                actions.push(Action::Kill { grace: left.max(MIN_GRACE), reason });
            }
            // A hook of an instance that has ended.
            (HookKind::PostStart | HookKind::PreStop, _) => {}
        }
    }
}
