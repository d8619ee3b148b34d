//! What to do about a cause, as a sentence and as YAML that can be applied. Main type: [`Fix`].

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use e2e_kubelet::diagnosis::Fix;
use e2e_plan::{Input, Manifest, Overlay, Part, PartRole, Plan, Probe, ProbeAction, Which};
use serde_json::json;

use super::{Case, Found};

/// A change of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Host(String),
    Header {
        name: String,
        value: String,
    },
    WithoutLongestHeader,
    WithoutHeaders,
    Timeout(Duration),
    Port(u16),
    Scheme(&'static str),
    Path(String),
    /// A grpc probe of the same port instead.
    Grpc,
    /// A startup probe that asks the same for so long.
    Startup(Duration),
}

/// A minute and a half: as many seconds as slow frameworks take, and a failure still shows within two minutes.
pub(super) const USUAL_START: Duration = Duration::from_secs(90);

/// The fix of a cause.
pub(super) fn of(case: &Case, found: &Found) -> Option<Fix> {
    let patch = found.change.as_ref().map(|change| {
        let (field, lines) = change.lines(case);
        merge_patch(case, field, &lines)
    });
    let summary = found.cause.remedy(case.which.field());
    Some(Fix { summary, patch, verified: None })
}

/// The probe as the patch makes it: the patch is applied to the workload, whose container has these ports, as
/// `kubectl patch` would.
///
/// # Errors
///
/// Says why it cannot be applied, which a test holds to be impossible, or that there is no patch.
pub(super) fn patched(fix: &Fix, case: &Case, ports: &[u16]) -> Result<Probe, String> {
    let patch = fix.patch.as_ref().ok_or("there is no patch")?;
    let manifest = |file: &str, text: String| Manifest { file: PathBuf::from(file), text };
    let overlay = Overlay {
        label: "fix".to_owned(),
        parts: vec![Part { role: PartRole::Patch, manifest: manifest("fix.yaml", patch.clone()) }],
    };
    let input = Input {
        manifests: vec![manifest("case.yaml", workload(case, ports))],
        overlays: vec![overlay],
        sets: Vec::new(),
        replicas: BTreeMap::new(),
        generate: &mut |_, _| String::new(),
    };
    let plan = Plan::from_manifests(input).map_err(|error| error.to_string())?;
    let container = plan.components.first().and_then(|component| component.pod.containers.first());
    let which = if patch.contains("startupProbe:") { Which::Startup } else { case.which };
    let probe = container.and_then(|container| which.of(&container.probes));
    probe.cloned().ok_or_else(|| format!("the patched workload has no {}", which.field()))
}

impl Change {
    /// The field of the container that it changes, and the lines under that.
    fn lines(&self, case: &Case) -> (&'static str, Vec<String>) {
        let field = case.which.field();
        let under = |parent: &str, line: String| vec![format!("{parent}:"), format!("  {line}")];
        let (http_get, handler) = ("httpGet", handler(&case.probe.action));
        let lines = match self {
            Self::Host(host) => headers(case, "Host", host),
            Self::Header { name, value } => headers(case, name, value),
            Self::WithoutLongestHeader => {
                let mut declared = declared(case).to_vec();
                if let Some(longest) = (0..declared.len()).max_by_key(|index| declared[*index].1.len()) {
                    declared.remove(longest);
                }
                list(&declared)
            }
            Self::WithoutHeaders => {
                let is_host = |header: &&(String, String)| header.0.eq_ignore_ascii_case("host");
                list(&declared(case).iter().filter(is_host).cloned().collect::<Vec<_>>())
            }
            Self::Timeout(timeout) => vec![format!("timeoutSeconds: {}", timeout.as_secs())],
            Self::Port(port) => under(handler, format!("port: {port}")),
            Self::Scheme(scheme) => under(http_get, format!("scheme: {scheme}")),
            Self::Path(path) => under(http_get, format!("path: {}", quoted(path))),
            Self::Grpc => {
                let mut lines = vec!["httpGet: null".to_owned()];
                lines.extend(under("grpc", format!("port: {}", port(&case.probe.action))));
                lines
            }
            Self::Startup(start) if case.which == Which::Startup => {
                let periods = start.as_secs_f64() / case.probe.period.as_secs_f64().max(1.0);
                // More than there are now, whatever the period.
                let threshold = (periods.ceil() as u32).max(case.probe.failure_threshold.saturating_add(1));
                vec![format!("failureThreshold: {threshold}")]
            }
            Self::Startup(start) => {
                let mut lines = vec!["periodSeconds: 1".to_owned(), format!("failureThreshold: {}", start.as_secs())];
                lines.push(format!("{handler}: {}", action(&case.probe.action)[handler]));
                return (Which::Startup.field(), lines);
            }
        };
        (field, lines)
    }
}

fn declared(case: &Case) -> &[(String, String)] {
    match &case.probe.action {
        ProbeAction::HttpGet { headers, .. } => headers,
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => &[],
    }
}

/// A list of httpHeaders replaces the old one when it is merged, so it names those that the probe has already.
fn headers(case: &Case, name: &str, value: &str) -> Vec<String> {
    let mut headers = vec![(name.to_owned(), value.to_owned())];
    headers.extend(declared(case).iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name)).cloned());
    list(&headers)
}

fn list(headers: &[(String, String)]) -> Vec<String> {
    let empty = if headers.is_empty() { " []" } else { "" };
    let mut lines = vec!["httpGet:".to_owned(), format!("  httpHeaders:{empty}")];
    for (name, value) in headers {
        lines.push(format!("    - name: {}", quoted(name)));
        lines.push(format!("      value: {}", quoted(value)));
    }
    lines
}

/// The lines of one probe within the workload that has it.
fn merge_patch(case: &Case, field: &str, probe: &[String]) -> String {
    let Case { kind, component, container, .. } = case;
    let (component, container) = (quoted(component), quoted(container));
    let mut yaml = format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {component}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: {container}\n          {field}:\n"
    );
    for line in probe {
        yaml.extend(["            ", line, "\n"]);
    }
    yaml
}

/// Text as a YAML scalar: plain where nothing can be misread, else in double quotes, whose escapes are JSON's.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// The workload with its one container and one probe, as a manifest: JSON is YAML.
fn workload(case: &Case, ports: &[u16]) -> String {
    let Case { kind, component, container, which, probe, .. } = case;
    let mut declared = action(&probe.action);
    declared["timeoutSeconds"] = probe.timeout.as_secs().max(1).into();
    let ports: Vec<_> = ports.iter().map(|port| json!({ "containerPort": port })).collect();
    let mut spec = json!({ "name": container, "image": "none", "ports": ports });
    spec[which.field()] = declared;
    let mut workload = json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": { "name": component },
        "spec": {
            "selector": { "matchLabels": { "app": component } },
            "template": { "metadata": { "labels": { "app": component } }, "spec": { "containers": [spec] } },
        },
    });
    if kind == "StatefulSet" {
        workload["spec"]["serviceName"] = component.as_str().into();
    }
    workload.to_string()
}

/// The action as the manifest declares it.
fn action(action: &ProbeAction) -> serde_json::Value {
    match action {
        ProbeAction::HttpGet { https, host, port, path, headers } => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            let scheme = if *https { "HTTPS" } else { "HTTP" };
            let mut get = json!({ "port": port, "path": path, "scheme": scheme, "httpHeaders": headers });
            if let Some(host) = host {
                get["host"] = host.as_str().into();
            }
            json!({ "httpGet": get })
        }
        ProbeAction::TcpSocket { port, .. } => json!({ "tcpSocket": { "port": port } }),
        ProbeAction::Exec { command } => json!({ "exec": { "command": command } }),
        ProbeAction::Grpc { port, service } => json!({ "grpc": { "port": port, "service": service } }),
    }
}

fn handler(action: &ProbeAction) -> &'static str {
    match action {
        ProbeAction::HttpGet { .. } => "httpGet",
        ProbeAction::TcpSocket { .. } => "tcpSocket",
        ProbeAction::Exec { .. } => "exec",
        ProbeAction::Grpc { .. } => "grpc",
    }
}

fn port(action: &ProbeAction) -> u16 {
    match action {
        ProbeAction::HttpGet { port, .. } | ProbeAction::TcpSocket { port, .. } | ProbeAction::Grpc { port, .. } => {
            *port
        }
        ProbeAction::Exec { .. } => 0,
    }
}
