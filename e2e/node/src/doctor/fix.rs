//! The remedy for a cause, as a sentence and as YAML to apply. Main type: [`Fix`].

use std::{path::PathBuf, time::Duration};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Fix, PATCH_HEADER_LINES, Trial},
    observation::Observation,
};
use e2e_plan::{Manifest, Objects, Overlay, Plan, Probe, ProbeAction, ProbeKind};
use serde_json::{Value, json};

use super::{
    Case, Found,
    secrets::{HIDDEN, OF_MANIFEST, action_without_secrets, is_harmless, without_secrets},
    words,
};

/// A patch's placeholder for credentials.
const CREDENTIALS: &str = "Basic <base64 of user:password>";

/// A change of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Host(String),
    Header {
        name: String,
        value: String,
        /// The placeholder in the patch, if the value is a secret or an example.
        placeholder: Option<String>,
    },
    /// Without the headers of these names.
    Without(Vec<String>),
    WithoutHeaders,
    Timeout(Duration),
    Port(u16),
    /// HTTPS, or HTTP.
    Scheme(bool),
    Path(String),
    /// A grpc probe of the same port instead.
    Grpc,
    /// The command of an exec probe.
    Command(Vec<String>),
    /// The service of a grpc probe.
    Service(String),
    /// A tcpSocket probe of the same port instead.
    TcpSocket,
    /// A startup probe with the same request, for this long.
    Startup(Duration),
}

/// A minute and a half: enough for slow frameworks, and a failure still shows within two minutes.
pub(super) const USUAL_START: Duration = Duration::from_secs(90);

/// The fix of a cause.
pub(super) fn of(case: &Case, found: &Found) -> Fix {
    let changes: Vec<Change> = found.changes.iter().map(Change::shown).collect();
    let mut shown = case.clone();
    shown.probe.action = action_without_secrets(&case.probe.action);
    let patch = (!changes.is_empty()).then(|| merge_patch(&shown, &changes));
    let patch = patch.map(|patch| if case.known.unnamed { with_names_marked(&patch) } else { patch });
    Fix { summary: remedy(case, found), patch, verified: None }
}

/// The remedy of the cause, in the terms of the probe's kind.
fn remedy(case: &Case, found: &Found) -> String {
    let field = case.which.field();
    match (&case.probe.action, found.cause) {
        (ProbeAction::Grpc { .. }, Cause::MissingHeader) => {
            "let the health service answer without credentials: a kubelet's grpc probe sends none".to_owned()
        }
        (ProbeAction::Grpc { service, .. }, Cause::UnknownService) if service.is_empty() => format!(
            "set the service of the {field} to one that the app registers with its health service, or register the empty name, which stands \
             for the whole server"
        ),
        (ProbeAction::Exec { .. }, Cause::TooSlow) => {
            format!("make the command faster, or raise timeoutSeconds of the {field}")
        }
        (ProbeAction::Grpc { .. }, Cause::Unavailable) if case.which != ProbeKind::Readiness => format!(
            "report SERVING to the {field} unless a restart would help: any other status restarts the container. Report dependencies \
             under a service of their own, for the readinessProbe"
        ),
        (_, Cause::Flaky) if !found.changes.is_empty() => {
            format!("find out what delays some answers, or raise timeoutSeconds of the {field}")
        }
        (_, Cause::HeaderRefused) if found.flip.as_ref().is_some_and(|flip| flip.axis == Axis::Connection) => {
            "make the app accept `Connection: close`, which a kubelet sends whatever httpHeaders say".to_owned()
        }
        _ => {
            // The remedy names what the cause is about.
            let is_of_place = matches!(
                found.cause,
                Cause::PlainToTls | Cause::TlsToPlain | Cause::WrongPort | Cause::RedirectToHttps
            );
            let axis = found.flip.as_ref().map(|flip| flip.axis).filter(|_| !is_of_place);
            let others =
                found.changes.iter().filter(|change| is_of_place || axis.is_some_and(|axis| !change.is_of(axis)));
            let more: Vec<String> = others.filter_map(Change::of_request).collect();
            let more = if more.is_empty() { String::new() } else { format!("; also {}", more.join(" and ")) };
            found.cause.remedy(field) + &more
        }
    }
}

/// The advice without a known cause.
pub(super) fn of_nothing(observation: &Observation, evidence: &[Trial]) -> Option<Fix> {
    words::advice(observation, evidence).map(Fix::advice)
}

/// The patch with the tried values, which may be secrets.
pub(super) fn applied(case: &Case, found: &Found) -> Option<String> {
    (!found.changes.is_empty()).then(|| merge_patch(case, &found.changes))
}

/// The patched probe: applies the patch to the workload, whose container has these ports, like `kubectl patch`.
///
/// # Errors
///
/// The patch cannot be applied; a test shows that this does not happen.
pub(super) fn patched(patch: &str, case: &Case, ports: &[u16]) -> Result<Probe, String> {
    let manifest = |file: &str, text: String| Manifest { file: PathBuf::from(file), text };
    let mut objects = Objects::read(&[manifest("case.yaml", workload(case, ports))]);
    objects.patch(&Overlay { label: "fix".to_owned(), manifests: vec![manifest("fix.yaml", patch.to_owned())] });
    let plan = Plan::of(objects).map_err(|error| error.to_string())?;
    let container = plan.components.first().and_then(|component| component.pod.containers.first());
    // The workload has only the case's probe, unless the patch adds one.
    let probe = container.and_then(|it| ProbeKind::Startup.of(&it.probes).or_else(|| case.which.of(&it.probes)));
    probe.cloned().ok_or_else(|| format!("the patched workload has no {}", case.which.field()))
}

impl Change {
    /// A header whose value is no secret.
    pub(super) fn header(name: &str, value: &str) -> Self {
        Self::Header { name: name.to_owned(), value: value.to_owned(), placeholder: None }
    }

    /// A header of a working request, with a placeholder in the patch unless its name says that its value is no secret.
    pub(super) fn added((name, value): (String, String)) -> Self {
        let shown = if value.starts_with("Basic ") { CREDENTIALS } else { "<the app's own>" };
        let placeholder = (!is_harmless(&name)).then(|| shown.to_owned());
        Self::Header { name, value, placeholder }
    }

    /// The change as shown in a patch, with placeholders.
    fn shown(&self) -> Self {
        match self {
            Self::Header { name, placeholder: Some(shown), .. } => {
                Self::Header { name: name.clone(), value: shown.clone(), placeholder: Some(shown.clone()) }
            }
            Self::Path(path) => Self::Path(without_secrets(path)),
            other => other.clone(),
        }
    }

    /// Whether it changes this part of the request.
    fn is_of(&self, axis: Axis) -> bool {
        match axis {
            Axis::Host => matches!(self, Self::Host(_)),
            Axis::Path => matches!(self, Self::Path(_)),
            Axis::Headers | Axis::UserAgent | Axis::Accept => {
                matches!(self, Self::Header { .. } | Self::Without(_) | Self::WithoutHeaders)
            }
            _ => false,
        }
    }

    /// What it changes in the request itself, as part of a sentence.
    fn of_request(&self) -> Option<String> {
        match self {
            Self::Path(path) => Some(format!("set path: {}", without_secrets(path))),
            Self::Host(host) => Some(format!("set the Host {host} in httpHeaders")),
            Self::Header { name, .. } => Some(format!("set {name} in httpHeaders")),
            Self::Without(names) => Some(format!("remove {} from httpHeaders", names.join(" and "))),
            Self::WithoutHeaders => Some("remove the httpHeaders".to_owned()),
            _ => None,
        }
    }

    /// The changed field of the container, and its value.
    fn fields(&self, case: &Case) -> (&'static str, Value) {
        let (handler, declaration) = action(&case.probe.action);
        let fields = match self {
            Self::Host(host) => headers(case, "Host", host),
            Self::Header { name, value, .. } => headers(case, name, value),
            Self::Without(names) => {
                let is_one = |header: &str| names.iter().any(|name| name.eq_ignore_ascii_case(header));
                list(&declared_if(case, |header| !is_one(header)))
            }
            // Those that a kubelet sends anyway have their own values.
            Self::WithoutHeaders => list(&declared_if(case, |header| {
                ["accept", "host", "user-agent"].contains(&header.to_ascii_lowercase().as_str())
            })),
            Self::Timeout(timeout) => json!({ "timeoutSeconds": timeout.as_secs() }),
            Self::Port(port) => json!({ handler: { "port": port } }),
            Self::Scheme(https) => json!({ "httpGet": { "scheme": scheme(*https) } }),
            Self::Path(path) => json!({ "httpGet": { "path": path } }),
            Self::Grpc => json!({ "httpGet": null, "grpc": { "port": case.probe.action.port() } }),
            Self::Command(command) => json!({ "exec": { "command": command } }),
            Self::Service(service) => json!({ "grpc": { "service": service } }),
            Self::TcpSocket => json!({ handler: null, "tcpSocket": { "port": case.probe.action.port() } }),
            Self::Startup(start) if case.which == ProbeKind::Startup => {
                let periods = start.as_secs_f64() / case.probe.period.as_secs_f64().max(1.0);
                // At least one more than now.
                let threshold = (periods.ceil() as u32).max(case.probe.failure_threshold.saturating_add(1));
                json!({ "failureThreshold": threshold })
            }
            Self::Startup(start) => {
                let mut fields = json!({ handler: declaration });
                (fields["periodSeconds"], fields["failureThreshold"]) = (1.into(), start.as_secs().into());
                return (ProbeKind::Startup.field(), fields);
            }
        };
        (case.which.field(), fields)
    }
}

fn declared(case: &Case) -> &[(String, String)] {
    match &case.probe.action {
        ProbeAction::HttpGet { headers, .. } => headers,
        ProbeAction::TcpSocket { .. } | ProbeAction::Exec { .. } | ProbeAction::Grpc { .. } => &[],
    }
}

/// The declared headers whose names are such.
fn declared_if(case: &Case, is_kept: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    declared(case).iter().filter(|(name, _)| is_kept(name)).cloned().collect()
}

/// A merge replaces the list of httpHeaders, so it includes the probe's own.
fn headers(case: &Case, name: &str, value: &str) -> Value {
    let mut headers = vec![(name.to_owned(), value.to_owned())];
    headers.extend(declared(case).iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name)).cloned());
    list(&headers)
}

fn list(headers: &[(String, String)]) -> Value {
    json!({ "httpGet": { "httpHeaders": header_list(headers) } })
}

fn header_list(headers: &[(String, String)]) -> Value {
    headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// The changes of one probe, within its workload.
fn merge_patch(case: &Case, changes: &[Change]) -> String {
    let Case { kind, component, container, .. } = case;
    let (component, container) = (as_yaml(component), as_yaml(container));
    let mut field = case.which.field();
    let mut probe = Value::Null;
    for change in changes {
        let (of, fields) = change.fields(case);
        field = of;
        merge(&mut probe, fields);
    }
    let yaml = format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {component}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: {container}\n          {field}:\n"
    );
    let placeholders: Vec<String> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Header { placeholder: Some(shown), value, .. } if shown == value => {
                Some(format!("value: {}", as_yaml(shown)))
            }
            _ => None,
        })
        .chain([format!("value: {}", as_yaml(OF_MANIFEST))])
        .collect();
    let lines = lines(&probe).into_iter().map(|line| {
        let is_one = |field: &String| line.ends_with(field);
        let has_secret = line.trim_start().starts_with("path: ") && line.contains(HIDDEN);
        let mark = if has_secret || placeholders.iter().any(is_one) { PLACEHOLDER } else { "" };
        format!("            {line}{mark}\n")
    });
    yaml + &lines.collect::<String>()
}

/// Marks the names of workload and container and the kind as examples; they are in the first lines of the patch.
fn with_names_marked(patch: &str) -> String {
    let is_name = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        line.starts_with("name: ") || line.starts_with("kind: ")
    };
    let mark = |(index, line): (usize, &str)| {
        let mark = if index < PATCH_HEADER_LINES && is_name(line) { PLACEHOLDER } else { "" };
        format!("{line}{mark}\n")
    };
    patch.lines().enumerate().map(mark).collect()
}

/// Marks a placeholder.
const PLACEHOLDER: &str = " # a placeholder: put your own here";

/// Merges the fields of two values, including header lists.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            into.retain(|old| !from.iter().any(|new| new["name"] == old["name"]));
            into.extend(from);
        }
        (into, from) => *into = from,
    }
}

/// A value as lines of YAML.
fn lines(value: &Value) -> Vec<String> {
    let indented = |value: &Value| lines(value).into_iter().map(|line| format!("  {line}")).collect::<Vec<_>>();
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::Object(inner) if inner.is_empty() => vec![format!("{key}: {{}}")],
                Value::Array(inner) if inner.is_empty() => vec![format!("{key}: []")],
                Value::Object(_) | Value::Array(_) => [vec![format!("{key}:")], indented(value)].concat(),
                scalar => vec![format!("{key}: {}", lines(scalar).concat())],
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .flat_map(|item| {
                let mut lines = indented(item);
                if let Some(first) = lines.first_mut() {
                    first.replace_range(..1, "-");
                }
                lines
            })
            .collect(),
        Value::String(text) => vec![as_yaml(text)],
        other => vec![other.to_string()],
    }
}

/// A scheme's name in a manifest.
pub(super) fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "HTTPS" } else { "HTTP" }
}

/// Text as a YAML scalar: plain if unambiguous, otherwise in double quotes with JSON's escapes.
fn as_yaml(text: &str) -> String {
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
    let (handler, declaration) = action(&probe.action);
    let mut declared = json!({ handler: declaration });
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

/// The action as the manifest declares it: its field, and what that holds.
fn action(action: &ProbeAction) -> (&'static str, Value) {
    match action {
        ProbeAction::HttpGet { https, host, port, path, headers } => {
            let headers = header_list(headers);
            let mut get = json!({ "port": port, "path": path, "scheme": scheme(*https), "httpHeaders": headers });
            if let Some(host) = host {
                get["host"] = host.as_str().into();
            }
            ("httpGet", get)
        }
        ProbeAction::TcpSocket { port, .. } => ("tcpSocket", json!({ "port": port })),
        ProbeAction::Exec { command } => ("exec", json!({ "command": command })),
        ProbeAction::Grpc { port, service } => ("grpc", json!({ "port": port, "service": service })),
    }
}
