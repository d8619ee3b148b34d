//! Records and evidence become findings: what is wrong, proven by which file, and what to do. Pure. Main function: [`findings`].

pub(crate) mod bottleneck;
mod cluster;
mod coverage;
mod cpu;
mod load;
mod memory;
mod pods;
mod probes;
pub mod stuck;
mod suites;
mod tolerated;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use e2e_kubelet::snapshot::Snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    environment::Environment,
    evidence::{DoctorEntry, Resources, Saturation, Throttling, cluster::Cluster, load_file},
    record::{Measured, Record},
    report::{Finding, Request, ScenarioResult, Severity, Source},
};

pub use self::probes::{Trouble, trouble};

/// Everything that a run directory says, read and not yet judged.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// What was asked for.
    pub request: Request,
    /// How long the run took.
    pub duration_ms: u64,
    /// What ran.
    pub environment: Environment,
    /// What the tests found.
    pub records: Vec<Record>,
    /// Tests as nextest saw them.
    pub tests: Vec<Test>,
    /// How the suites' command ended, where it did not end as it should.
    pub suites: Option<OddEnd>,
    /// Pods at the end of the run.
    pub snapshot: Snapshot,
    /// Memory and processor time.
    pub resources: Resources,
    /// Use of the resources that `[[saturation]]` names.
    pub saturation: Vec<Saturation>,
    /// How often pods were held back at their CPU limits, by pod.
    pub throttling: BTreeMap<String, Throttling>,
    /// What the cluster says; nothing on other targets.
    pub cluster: Option<Cluster>,
    /// What the doctor found.
    pub doctor: Vec<DoctorEntry>,
    /// The files of what load generators counted that suites wrote: see [`crate::evidence::load_file`].
    pub load_files: BTreeSet<String>,
    /// Last lines of each container's log, by `pod.container`.
    pub logs: BTreeMap<String, String>,
}

/// A test as nextest saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Test {
    /// The test binary: two may have a test of the same name.
    pub binary: String,
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What nextest says of a failure, such as `test timeout`.
    pub failure: Option<String>,
}

/// How a command of suites ended that did not end as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddEnd {
    /// The command.
    pub command: String,
    /// What was odd.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// What kind a finding is. The order is that of the report among findings of one severity: causes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A key that a client was told is stored is not.
    AcknowledgedMissing,
    /// A key is stored more than once.
    StoredTwice,
    /// A component has no replicas, so nobody serves its name.
    NoReplicas,
    /// The application refuses the address that a kubelet puts into Host.
    HostAllowList,
    /// The application refuses the form of the `Host` that the probe sends.
    HostSyntax,
    /// The server wants TLS clients to ask for a name, which a kubelet does not do.
    SniRequired,
    /// A plain probe goes to a port that speaks TLS.
    PlainToTls,
    /// A probe over TLS goes to a port that does not speak it.
    TlsToPlain,
    /// A probe of HTTP/1 goes to a port that speaks only HTTP/2.
    Http1ToHttp2Only,
    /// The server waits for a PROXY header in front of the request.
    ProxyProtocolExpected,
    /// The probe's headers are more than the server takes.
    HeaderTooLarge,
    /// The server refuses a header that the probe sends.
    HeaderRefused,
    /// The server refuses bytes of the probe's path.
    MalformedPath,
    /// The application wants a header, a query or credentials that the probe does not send.
    MissingHeader,
    /// The application listens on a loopback address only.
    BoundToLoopback,
    /// The application refuses the address that the probe comes from.
    SourceBlocked,
    /// A redirect leads in a circle, or hides a broken application.
    RedirectElsewhere,
    /// The response ends before it is whole.
    TruncatedResponse,
    /// The application redirects the probe to HTTPS, where it gets no answer.
    RedirectToHttps,
    /// The server wants a client certificate, and a kubelet has none.
    ClientCertificateRequired,
    /// The port speaks another protocol than HTTP.
    NotHttp,
    /// The application listens on IPv6 addresses only, and the pod's address is one of IPv4.
    Ipv6Only,
    /// The probe gets 429: requests come more often than the application allows.
    RateLimited,
    /// The application answers everyone that it cannot serve.
    Unavailable,
    /// The same probe fails and succeeds by turns.
    Flaky,
    /// The response announces no length and does not end.
    EndlessResponse,
    /// gRPC's health service does not know the service that the probe names.
    UnknownService,
    /// A gRPC server has no health service.
    NoHealthService,
    /// The port speaks gRPC over TLS, and a kubelet's grpc probe does not.
    GrpcOverTls,
    /// Something between the probe and the application drops `Host`.
    #[serde(rename = "http10-or-missing-host")]
    Http10OrMissingHost,
    /// The probe asks for a path or a method that the application does not serve.
    MethodOrPath,
    /// The application answers correctly, but later than the probe's timeout.
    TooSlow,
    /// The probe goes to a port on which nobody listens, while another one answers.
    WrongPort,
    /// The application needs longer to start than its startup probe allows.
    NotStarted,
    /// A probe cannot be carried out, or its answer breaks off, and a kubelet counts that for nothing.
    ProbeErrored,
    /// A container used more memory than its limit.
    OomKilled,
    /// A component in trouble had used up its memory limit, and was not killed for it.
    MemoryAtLimit,
    /// The kernel held a component back at its CPU limit.
    CpuThrottled,
    /// A container's program ended by itself.
    Crashed,
    /// The image of a container cannot be had.
    ImageUnavailable,
    /// A Secret or ConfigMap that a pod refers to is not there.
    ConfigMissing,
    /// A volume cannot be mounted.
    MountFailed,
    /// No node can take a pod.
    Unschedulable,
    /// A quota or a policy of the cluster refuses a pod.
    AdmissionRefused,
    /// A pod was deleted or evicted, and another one took its place.
    PodReplaced,
    /// A node does not take pods, or says that something is wrong.
    NodeTrouble,
    /// Everything that waits for a bounded resource waits because it is used up.
    PoolExhausted,
    /// The application answers everyone that it cannot serve, and something that it is configured with is away.
    DependencyDown,
    /// A probe fails.
    ProbeFailing,
    /// A container is restarted again and again.
    RestartLoop,
    /// A container was restarted once.
    Restarted,
    /// A component was not ready at the end of the run.
    ComponentNotReady,
    /// Clients failed at a step that each takes once, or were not ready in time.
    ClientsFailed,
    /// Requests of a repeated step failed, or none of a scenario succeeded.
    RequestsFailed,
    /// A check failed.
    CheckFailed,
    /// A figure crossed its line.
    ThresholdCrossed,
    /// A connection through the cluster's network did not come about.
    NetworkCheckFailed,
    /// All replicas of a component run on one node, although there are others.
    ReplicasShareNode,
    /// The load generator was the bottleneck, so its figures say nothing about the system.
    GeneratorSaturated,
    /// Something that should have been measured was not.
    NotMeasured,
    /// A field of the manifests has no effect on this target.
    ManifestFieldIgnored,
}

impl Code {
    /// Whether it says why something is wrong, and not only that it is.
    pub fn is_cause(self) -> bool {
        matches!(
            self,
            Self::HostAllowList
                | Self::HostSyntax
                | Self::SniRequired
                | Self::PlainToTls
                | Self::TlsToPlain
                | Self::Http1ToHttp2Only
                | Self::ProxyProtocolExpected
                | Self::HeaderTooLarge
                | Self::HeaderRefused
                | Self::MalformedPath
                | Self::MissingHeader
                | Self::BoundToLoopback
                | Self::SourceBlocked
                | Self::RedirectElsewhere
                | Self::TruncatedResponse
                | Self::RedirectToHttps
                | Self::ClientCertificateRequired
                | Self::NotHttp
                | Self::Ipv6Only
                | Self::RateLimited
                | Self::Unavailable
                | Self::Flaky
                | Self::EndlessResponse
                | Self::UnknownService
                | Self::NoHealthService
                | Self::GrpcOverTls
                | Self::Http10OrMissingHost
                | Self::MethodOrPath
                | Self::TooSlow
                | Self::DependencyDown
                | Self::WrongPort
                | Self::NotStarted
                | Self::ProbeErrored
                | Self::OomKilled
                | Self::MemoryAtLimit
                | Self::CpuThrottled
                | Self::Crashed
                | Self::ImageUnavailable
                | Self::ConfigMissing
                | Self::MountFailed
                | Self::Unschedulable
                | Self::AdmissionRefused
                | Self::PodReplaced
                | Self::PoolExhausted
                | Self::NoReplicas
        )
    }

    /// Whether a warning of this kind follows from the manifests and the target alone. Others depend on where the cluster puts pods, on
    /// its nodes, on what the machine tells or on the load, so that a healthy run may have them or not.
    pub(crate) fn follows_from_manifests(self) -> bool {
        self == Self::ManifestFieldIgnored
    }

    /// Whether it says that a pod cannot start without a change from outside.
    pub(crate) fn keeps_from_starting(self) -> bool {
        matches!(
            self,
            Self::ImageUnavailable
                | Self::ConfigMissing
                | Self::MountFailed
                | Self::Unschedulable
                | Self::AdmissionRefused
        )
    }

    /// Whether it can follow from another finding, so that it is looked into only when no cause explains it.
    pub fn is_effect(self) -> bool {
        matches!(
            self,
            Self::ProbeFailing
                | Self::RestartLoop
                | Self::Restarted
                | Self::ComponentNotReady
                | Self::ClientsFailed
                | Self::RequestsFailed
                | Self::CheckFailed
                | Self::ThresholdCrossed
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The same word as in JSON.
        let json = serde_json::to_value(self).map_err(|_| fmt::Error)?;
        f.pad(json.as_str().unwrap_or_default())
    }
}

/// All findings, worst first and causes before what they cause.
pub fn findings(data: &RunData) -> Vec<Finding> {
    let mut findings: Vec<Finding> = pods::findings(data)
        .into_iter()
        .chain(cluster::findings(data))
        .chain(probes::findings(data))
        .chain(load::findings(data))
        .chain(coverage::findings(data))
        .chain(suites::findings(data))
        .chain(ignored_fields(data))
        .collect();
    // A run that ended because a pod cannot start waited for nothing else: who had not found its stores by then may yet.
    if data.tests.is_empty() && findings.iter().any(|finding| finding.code.keeps_from_starting()) {
        findings.retain(|finding| finding.code != Code::DependencyDown);
    }
    tolerated::soften(data, &mut findings);
    findings.sort_by(|a, b| (a.severity, a.code, &a.component).cmp(&(b.severity, b.code, &b.component)));
    findings
}

fn ignored_fields(data: &RunData) -> Option<Finding> {
    let warnings = &data.environment.warnings;
    let fields: Vec<&str> = warnings.iter().map(|warning| warning.subject.as_str()).collect();
    (!warnings.is_empty()).then(|| Finding {
        code: Code::ManifestFieldIgnored,
        severity: Severity::Warning,
        component: None,
        claim: format!(
            "{} fields of the manifests have no effect, or another one, on {}; the table at the end lists each",
            fields.len(),
            data.environment.target
        ),
        evidence: vec!["environment.json#/warnings".to_owned()],
        fix: String::new(),
        excerpt: None,
    })
}

impl RunData {
    /// What scenarios measured, and where that stands.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = (&ScenarioResult, Source)> {
        self.records.iter().filter_map(|record| {
            let Measured::Scenario(figures) = &record.measured else { return None };
            let load = Some(load_file(&figures.name)).filter(|file| self.load_files.contains(file));
            Some((&**figures, Source { record: record.file(), load }))
        })
    }

    /// What a scenario measured.
    pub(crate) fn scenario(&self, name: &str) -> Option<(&ScenarioResult, Source)> {
        self.scenarios().find(|(figures, _)| figures.name == name)
    }

    /// The pods of a component that are known, with their names.
    pub(crate) fn pods_of<'a>(
        &'a self,
        component: &'a crate::environment::Component,
    ) -> impl Iterator<Item = (&'a str, &'a e2e_kubelet::snapshot::PodReport)> {
        let pods = component.pod_names().filter_map(|name| self.snapshot.pods.get_key_value(&name));
        pods.map(|(name, pod)| (name.as_str(), pod))
    }
}

#[cfg(test)]
mod tests;
