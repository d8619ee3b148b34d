//! What a kubelet runs after a container's start and before its end. Main type: [`Hooks`].

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::probe::ProbeAction;

/// `lifecycle` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hooks {
    /// `postStart`: the container does not count as running until it has ended.
    pub post_start: Option<Hook>,
    /// `preStop`: what comes before SIGTERM, within the grace period.
    pub pre_stop: Option<Hook>,
}

/// What one hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Hook {
    /// `exec` or `httpGet`.
    Run(ProbeAction),
    /// `sleep`.
    Sleep(Duration),
}

/// Which of a container's two hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HookKind {
    /// `postStart`.
    PostStart,
    /// `preStop`.
    PreStop,
}

/// The word that a kubelet's events use.
impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl HookKind {
    /// Both, in the order of a container's life.
    pub const ALL: [Self; 2] = [Self::PostStart, Self::PreStop];

    /// The field of `lifecycle` in a manifest.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::PostStart => "postStart",
            Self::PreStop => "preStop",
        }
    }

    /// This hook, if the container has one.
    #[must_use]
    pub fn of(self, hooks: &Hooks) -> Option<&Hook> {
        match self {
            Self::PostStart => hooks.post_start.as_ref(),
            Self::PreStop => hooks.pre_stop.as_ref(),
        }
    }
}

impl Hooks {
    /// Those that are declared, in the order of a container's life.
    pub fn all(&self) -> impl Iterator<Item = (HookKind, &Hook)> {
        HookKind::ALL.into_iter().filter_map(|which| Some((which, which.of(self)?)))
    }
}
