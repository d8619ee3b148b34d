//! The table of faults: each overlay with the findings that its report must have. Main constant: [`FAULTS`].

use e2e_kubelet::diagnosis::Cause;
use e2e_plan::target::Target;
use e2e_report::finding::Code::{self, *};
use e2e_run::exit::ExitCode;

/// A finding: its code and, if any, its component.
pub(crate) type Expected = (Code, Option<&'static str>);

/// An overlay and the findings of a run with it.
pub(crate) struct Fault {
    /// The directory in `fixtures/overlays/`.
    pub(crate) overlay: &'static str,
    /// The fault in a few words.
    pub(crate) wrong: &'static str,
    /// Findings required on every target. No other cause may be found, except those of `may`.
    pub(crate) must: &'static [Expected],
    /// Findings also required on targets where clients cannot reach unready pods.
    pub(crate) gated: &'static [Expected],
    /// Optional causes, with the reason.
    pub(crate) may: &'static [(Expected, &'static str)],
    /// Targets that can show it.
    pub(crate) targets: &'static [Target],
    /// Exit code of its runs.
    pub(crate) end: ExitCode,
    /// The expected bottleneck of the throughput.
    pub(crate) bottleneck: Option<&'static str>,
    /// The only scenario that shows it.
    pub(crate) scenario: Option<&'static str>,
}

const EVERYWHERE: &[Target] = &[Target::Local, Target::Docker, Target::K8s];
const IN_A_CLUSTER: &[Target] = &[Target::K8s];
/// The backend's image has no program that would show them in a cluster.
const WHERE_STATES_ARE_SEEN: &[Target] = &[Target::Local, Target::Docker];
const WITH_CPU_LIMITS: &[Target] = &[Target::Docker, Target::K8s];

const BACKEND: Option<&str> = Some("backend");
const ENGINE: Option<&str> = Some("engine");
const REDIS: Option<&str> = Some("redis");

/// What most faults have in common: every target shows them, and a run with one fails.
const FAULT: Fault = Fault {
    overlay: "",
    wrong: "",
    must: &[],
    gated: &[],
    may: &[],
    targets: EVERYWHERE,
    end: ExitCode::Fail,
    bottleneck: None,
    scenario: None,
};

/// Every overlay of `fixtures/overlays/`.
pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        overlay: "slow-start",
        wrong: "the backend starts more slowly than its startup probe allows",
        must: &[
            (Probe(Cause::NotStarted), BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
            (ClientsFailed, None),
        ],
        ..FAULT
    },
    Fault {
        overlay: "oom",
        wrong: "the backend leaks memory with each request until it reaches its limit",
        must: &[(OomKilled, BACKEND), (RestartLoop, BACKEND), (RequestsFailed, None)],
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "pool-exhausted",
        wrong: "each backend has one database connection, and a registration holds it for one second",
        must: &[(PoolExhausted, BACKEND), (ClientsFailed, None)],
        scenario: Some("registration"),
        ..FAULT
    },
    Fault {
        overlay: "session-lookup",
        wrong: "each backend has one database connection, and an operation holds it for 20 ms",
        must: &[(PoolExhausted, BACKEND)],
        bottleneck: Some("a pool of backend"),
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "engine-down",
        wrong: "the engine exits two seconds after each start",
        must: &[(Crashed, ENGINE), (RestartLoop, ENGINE), (RequestsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "redis-down",
        wrong: "Redis has no replicas",
        must: &[
            (NoReplicas, REDIS),
            (Probe(Cause::DependencyDown), BACKEND),
            (Probe(Cause::DependencyDown), ENGINE),
            (ProbeFailing, BACKEND),
            (ComponentNotReady, BACKEND),
        ],
        gated: &[(ClientsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "wrong-probe-path",
        wrong: "the probes request paths that the backend does not serve",
        must: &[
            (Probe(Cause::MethodOrPath), BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
        ],
        gated: &[(ClientsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "founding-incident",
        wrong: "a Host allow-list, a tight memory limit and a small pool combined",
        must: &[
            (Probe(Cause::HostAllowList), BACKEND),
            (OomKilled, BACKEND),
            (PoolExhausted, BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
            (ClientsFailed, None),
            (RequestsFailed, None),
        ],
        ..FAULT
    },
    Fault {
        overlay: "host-allow-list",
        wrong: "the app rejects requests whose `Host` is the pod's IP, as a kubelet sends them",
        must: &[(Probe(Cause::HostAllowList), BACKEND), (ProbeFailing, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(ClientsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "probe-timeout",
        wrong: "health checks get correct answers, but only after the probe's timeout",
        must: &[(Probe(Cause::TooSlow), BACKEND), (ProbeFailing, BACKEND), (ComponentNotReady, BACKEND)],
        gated: &[(ClientsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "liveness-too-early",
        wrong: "the backend takes twenty seconds to start and has a liveness probe but no startup probe",
        must: &[
            (Probe(Cause::NotStarted), BACKEND),
            (ProbeFailing, BACKEND),
            (RestartLoop, BACKEND),
            (ComponentNotReady, BACKEND),
        ],
        gated: &[(ClientsFailed, None)],
        ..FAULT
    },
    Fault {
        overlay: "cpu-limit",
        wrong: "the backend is limited to 50m of CPU and needs more under load",
        must: &[(CpuThrottled, BACKEND)],
        targets: WITH_CPU_LIMITS,
        end: ExitCode::Pass,
        bottleneck: Some("the CPU limit of backend"),
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "readiness-pool",
        wrong: "readiness takes a connection of the pool that registrations use up",
        must: &[(Probe(Cause::WaitsForPool), BACKEND), (PoolExhausted, BACKEND)],
        scenario: Some("registration"),
        ..FAULT
    },
    Fault {
        overlay: "probe-starved",
        wrong: "operations occupy the one worker that also answers the probes",
        must: &[(ProbeStarved, BACKEND)],
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "probe-margin",
        wrong: "the same for so short a time that the probes are answered with little to spare",
        must: &[(ProbeMargin, BACKEND)],
        end: ExitCode::Pass,
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "hang",
        wrong: "a replica of the backend stops answering inside a transaction, with a lock that the other one needs",
        must: &[(Hangs, BACKEND), (ProbeFailing, BACKEND), (ClientsFailed, None)],
        targets: WHERE_STATES_ARE_SEEN,
        ..FAULT
    },
    Fault {
        overlay: "redis-evicts",
        wrong: "a cache shares a Redis that is too small for it and evicts keys",
        must: &[(KeysEvicted, REDIS)],
        end: ExitCode::Pass,
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "redis-full",
        wrong: "the same without eviction",
        must: &[(WritesRefused, REDIS), (RequestsFailed, None)],
        may: &[(
            (Probe(Cause::Unavailable), BACKEND),
            "readiness answers 503 while Redis refuses the commands of the backend's connection",
        )],
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "lock",
        wrong: "each transaction of the engine locks the whole table and holds the lock",
        end: ExitCode::Pass,
        bottleneck: Some("a lock in postgres"),
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "slow-engine",
        wrong: "the engine delays each batch",
        end: ExitCode::Pass,
        bottleneck: Some("engine"),
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "slow-commits",
        wrong: "PostgreSQL takes 50 ms for each commit",
        end: ExitCode::Pass,
        bottleneck: Some("postgres"),
        scenario: Some("throughput"),
        ..FAULT
    },
    Fault {
        overlay: "image-missing",
        wrong: "the backend's image does not exist",
        must: &[(ImageUnavailable, BACKEND), (ComponentNotReady, BACKEND)],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        ..FAULT
    },
    Fault {
        overlay: "request-too-large",
        wrong: "the backend requests more CPU than any node has",
        must: &[(Unschedulable, BACKEND), (ComponentNotReady, BACKEND)],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        ..FAULT
    },
    Fault {
        overlay: "quota-exceeded",
        wrong: "the namespace's quota is too small for all pods",
        must: &[(AdmissionRefused, None)],
        targets: IN_A_CLUSTER,
        end: ExitCode::NotUp,
        ..FAULT
    },
];
