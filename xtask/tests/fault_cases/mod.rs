//! The table of faults: each overlay with what its report must say. Main constant: [`FAULTS`].

use e2e_plan::target::Target;
use e2e_report::diagnose::Code::{self, *};
use e2e_run::exit::ExitCode;

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
    /// What must be found as well where clients do not reach pods that are not ready.
    pub(crate) gated: &'static [Expected],
    /// Causes that may come as well, with the reason.
    pub(crate) may: &'static [(Expected, &'static str)],
    /// Where it can be shown.
    pub(crate) targets: &'static [Target],
    /// How its runs end.
    pub(crate) end: ExitCode,
    /// What must be named as the throughput's bottleneck.
    pub(crate) bottleneck: Option<&'static str>,
}

const EVERYWHERE: &[Target] = &[Target::Local, Target::Docker, Target::K8s];
const IN_A_CLUSTER: &[Target] = &[Target::K8s];
const WITH_CPU_LIMITS: &[Target] = &[Target::Docker, Target::K8s];

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
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "oom",
        wrong: "the backend keeps memory of each request and reaches its limit",
        must: &[(OomKilled, BACKEND), (RestartLoop, BACKEND), (OperationErrors, None)],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "pool-exhausted",
        wrong: "each backend has one database connection, which a registration keeps for a second",
        must: &[(PoolExhausted, BACKEND), (RegistrationFailures, None)],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        // Registrations alone need the pool.
        bottleneck: None,
    },
    Fault {
        overlay: "session-lookup",
        wrong: "each backend has one database connection, which each operation keeps for 20 ms",
        must: &[(PoolExhausted, BACKEND)],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: Some("a pool of backend"),
    },
    Fault {
        overlay: "engine-down",
        wrong: "the engine ends by itself two seconds after each start",
        must: &[(Crashed, ENGINE), (RestartLoop, ENGINE), (OperationErrors, None)],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
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
        gated: &[(RegistrationFailures, None)],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "wrong-probe-path",
        wrong: "the kubelet asks the backend for paths that it does not serve",
        must: &[(MethodOrPath, BACKEND), (ProbeFailing, BACKEND), (RestartLoop, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(RegistrationFailures, None)],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
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
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "host-allow-list",
        wrong: "the app refuses requests that name the pod's address, which is what a kubelet sends",
        must: &[(HostAllowList, BACKEND), (ProbeFailing, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(RegistrationFailures, None)],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "probe-timeout",
        wrong: "health checks are answered correctly, and later than the probes wait",
        must: &[(TooSlow, BACKEND), (ProbeFailing, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(RegistrationFailures, None)],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "liveness-too-early",
        wrong: "the backend needs twenty seconds to start, and only a liveness probe waits for it",
        must: &[(NotStarted, BACKEND), (ProbeFailing, BACKEND), (RestartLoop, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(RegistrationFailures, None)],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Fail,
        bottleneck: None,
    },
    Fault {
        overlay: "cpu-limit",
        wrong: "the backend may use a twentieth of a processor, and needs more under load",
        must: &[(CpuThrottled, BACKEND)],
        gated: &[],
        may: &[],
        targets: WITH_CPU_LIMITS,
        end: ExitCode::Pass,
        bottleneck: Some("the CPU limit of backend"),
    },
    Fault {
        overlay: "lock",
        wrong: "each transaction of the engine locks the whole table and keeps the lock",
        must: &[],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Pass,
        bottleneck: Some("a lock in postgres"),
    },
    Fault {
        overlay: "slow-engine",
        wrong: "the engine waits before it applies a batch",
        must: &[],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Pass,
        bottleneck: Some("engine"),
    },
    Fault {
        overlay: "slow-commits",
        wrong: "PostgreSQL takes 50 ms for each commit",
        must: &[],
        gated: &[],
        may: &[],
        targets: EVERYWHERE,
        end: ExitCode::Pass,
        bottleneck: Some("postgres"),
    },
    Fault {
        overlay: "image-missing",
        wrong: "the backend's image is nowhere",
        must: &[(ImageUnavailable, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[],
        may: &[],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        bottleneck: None,
    },
    Fault {
        overlay: "request-too-large",
        wrong: "the backend asks for more processors than any node has",
        must: &[(Unschedulable, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[],
        may: &[],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        bottleneck: None,
    },
    Fault {
        overlay: "quota-exceeded",
        wrong: "the namespace's quota leaves no room for all pods",
        must: &[(AdmissionRefused, None)],
        gated: &[],
        may: &[],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        bottleneck: None,
    },
];
