//! The table of faults: each overlay with what its report must say. Main constant: [`FAULTS`].

use e2e::diagnose::Code::{self, *};

/// A finding: its code and, when it is about one, its component.
pub(crate) type Expected = (Code, Option<&'static str>);

/// An overlay and the findings of a run with it.
pub(crate) struct Fault {
    /// The directory in `fixtures/overlays/`.
    pub(crate) overlay: &'static str,
    /// What is wrong, in a few words.
    pub(crate) wrong: &'static str,
    /// What every target finds. No other code that names a cause may come, but those of `may`.
    pub(crate) must: &'static [Expected],
    /// What only plain processes must find as well.
    pub(crate) local: &'static [Expected],
    /// Causes that may come as well, with the reason.
    pub(crate) may: &'static [(Expected, &'static str)],
}

const BACKEND: Option<&str> = Some("backend");
const ENGINE: Option<&str> = Some("engine");
const REDIS: Option<&str> = Some("redis");

/// Every overlay of `fixtures/overlays/`.
pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        overlay: "slow-start",
        wrong: "the backend needs longer to start than its startup probe allows",
        must: &[
            (NotStarted, BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
            (RegistrationFailures, None),
        ],
        local: &[],
        may: &[],
    },
    Fault {
        overlay: "oom",
        wrong: "the backend keeps memory of each request and reaches its limit",
        must: &[(OomKilled, BACKEND), (RestartLoop, BACKEND), (OperationErrors, None)],
        local: &[],
        may: &[],
    },
    Fault {
        overlay: "pool-exhausted",
        wrong: "each backend has one database connection, which a registration keeps for a second",
        must: &[(PoolExhausted, BACKEND), (RegistrationFailures, None)],
        local: &[],
        may: &[],
    },
    Fault {
        overlay: "engine-down",
        wrong: "the engine ends by itself two seconds after each start",
        must: &[(Crashed, ENGINE), (RestartLoop, ENGINE), (OperationErrors, None)],
        local: &[],
        may: &[],
    },
    Fault {
        overlay: "redis-down",
        wrong: "nobody runs Redis",
        must: &[
            (NoReplicas, REDIS),
            (DependencyDown, BACKEND),
            (DependencyDown, ENGINE),
            (ProbeFailing, BACKEND),
            (ComponentNotReady, BACKEND),
        ],
        local: &[(RegistrationFailures, None)],
        may: &[],
    },
    Fault {
        overlay: "wrong-probe-path",
        wrong: "the kubelet asks the backend for paths that it does not serve",
        must: &[(MethodOrPath, BACKEND), (ProbeFailing, BACKEND), (RestartLoop, BACKEND), (ComponentNotReady, BACKEND)],
        local: &[(RegistrationFailures, None)],
        may: &[],
    },
    Fault {
        overlay: "founding-incident",
        wrong: "a Host allow-list, a tight memory limit and a small pool together",
        must: &[
            (HostAllowList, BACKEND),
            (OomKilled, BACKEND),
            (PoolExhausted, BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
            (RegistrationFailures, None),
            (OperationErrors, None),
        ],
        local: &[],
        may: &[],
    },
];
