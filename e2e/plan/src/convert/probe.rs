//! Probes with Kubernetes's defaults and its rules.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{Container as K8sContainer, ExecAction, HTTPGetAction, Probe as K8sProbe},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Context;
use crate::{
    cursor::Cursor,
    error::{Error, ErrorKind},
    expand::expand_static,
    probe::{Probe, ProbeAction, Probes},
    read::given,
};

pub(super) fn probes(context: &Context<'_>, cursor: &Cursor<'_>, container: &K8sContainer) -> Probes {
    let convert = |field: &str, value: &Option<K8sProbe>| {
        context.faults.keep(probe(&cursor.key(field), container, value.as_ref()?, field))
    };
    Probes {
        startup: convert("startupProbe", &container.startup_probe),
        readiness: convert("readinessProbe", &container.readiness_probe),
        liveness: convert("livenessProbe", &container.liveness_probe),
    }
}

fn probe(cursor: &Cursor<'_>, container: &K8sContainer, value: &K8sProbe, field: &str) -> Result<Probe, Error> {
    let default = Probe::new(action(cursor, container, value)?);
    // The API server reads 0 as "not set".
    let number = |field: &str, value: Option<i32>, default: u32| match value.unwrap_or(0) {
        0 => Ok(default),
        value => u32::try_from(value)
            .map_err(|_| cursor.key(field).fail(ErrorKind::Value, format!("{value} is negative"), "write 1 or more")),
    };
    let seconds = |field: &str, value: Option<i32>, default: Duration| match number(field, value, 0)? {
        0 => Ok(default),
        seconds => Ok(Duration::from_secs(seconds.into())),
    };
    let success_threshold = number("successThreshold", value.success_threshold, default.success_threshold)?;
    if success_threshold != 1 && field != "readinessProbe" {
        let message = format!("successThreshold {success_threshold} is only allowed in a readiness probe");
        return Err(cursor.key("successThreshold").fail(ErrorKind::Value, message, "write 1, or remove the field"));
    }
    let termination_grace = match value.termination_grace_period_seconds {
        None => None,
        Some(seconds) if seconds > 0 && field != "readinessProbe" => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(_) => {
            let message = "a probe's grace period is at least 1 s and belongs to startup and liveness probes";
            let cursor = cursor.key("terminationGracePeriodSeconds");
            return Err(cursor.fail(ErrorKind::Value, message, "correct or remove the field"));
        }
    };
    Ok(Probe {
        initial_delay: seconds("initialDelaySeconds", value.initial_delay_seconds, default.initial_delay)?,
        period: seconds("periodSeconds", value.period_seconds, default.period)?,
        timeout: seconds("timeoutSeconds", value.timeout_seconds, default.timeout)?,
        success_threshold,
        failure_threshold: number("failureThreshold", value.failure_threshold, default.failure_threshold)?,
        termination_grace,
        ..default
    })
}

fn action(cursor: &Cursor<'_>, container: &K8sContainer, value: &K8sProbe) -> Result<ProbeAction, Error> {
    let actions = [
        value.http_get.as_ref().map(|_| "httpGet"),
        value.tcp_socket.as_ref().map(|_| "tcpSocket"),
        value.exec.as_ref().map(|_| "exec"),
        value.grpc.as_ref().map(|_| "grpc"),
    ];
    let actions: Vec<&str> = actions.into_iter().flatten().collect();
    match (&value.http_get, &value.tcp_socket, &value.exec, &value.grpc) {
        (Some(http), None, None, None) => http_get(&cursor.key("httpGet"), container, http),
        (None, Some(tcp), None, None) => Ok(ProbeAction::TcpSocket {
            host: given(&tcp.host).map(str::to_owned),
            port: port(&cursor.keys(&["tcpSocket", "port"]), container, &tcp.port)?,
        }),
        (None, None, Some(command), None) => exec(&cursor.key("exec"), container, command),
        (None, None, None, Some(grpc)) => Ok(ProbeAction::Grpc {
            port: port(&cursor.keys(&["grpc", "port"]), container, &IntOrString::Int(grpc.port))?,
            service: grpc.service.clone().unwrap_or_default(),
        }),
        (None, None, None, None) => {
            let remedy = "add one of httpGet, tcpSocket, exec, grpc";
            Err(cursor.fail(ErrorKind::Missing, "the probe has no action", remedy))
        }
        _ => {
            let message = format!("the probe has {} actions: {}", actions.len(), actions.join(", "));
            Err(cursor.fail(ErrorKind::Value, message, "keep one of them"))
        }
    }
}

pub(super) fn exec(cursor: &Cursor<'_>, container: &K8sContainer, exec: &ExecAction) -> Result<ProbeAction, Error> {
    let command = exec.command.as_deref().unwrap_or_default();
    if command.is_empty() {
        return Err(cursor.fail(ErrorKind::Missing, "there is no command", "add `command: [...]`"));
    }
    let env = container.env.as_deref().unwrap_or_default();
    Ok(ProbeAction::Exec { command: expand_static(command, env) })
}

pub(super) fn http_get(
    cursor: &Cursor<'_>,
    container: &K8sContainer,
    http: &HTTPGetAction,
) -> Result<ProbeAction, Error> {
    let https = match http.scheme.as_deref() {
        None | Some("" | "HTTP") => false,
        Some("HTTPS") => true,
        Some(other) => {
            let message = format!("scheme `{other}` does not exist");
            return Err(cursor.key("scheme").fail(ErrorKind::Value, message, "write HTTP or HTTPS"));
        }
    };
    let headers = http.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
    Ok(ProbeAction::HttpGet {
        https,
        host: given(&http.host).map(str::to_owned),
        port: port(&cursor.key("port"), container, &http.port)?,
        path: given(&http.path).unwrap_or("/").to_owned(),
        headers: headers.collect(),
    })
}

/// A number need not be declared; a name must be one of the container's own, by which a kubelet looks it up.
fn port(cursor: &Cursor<'_>, container: &K8sContainer, value: &IntOrString) -> Result<u16, Error> {
    let name = match value {
        IntOrString::Int(number) => return port_number(cursor, *number),
        IntOrString::String(name) => name,
    };
    if name.parse::<u16>().is_ok() {
        let message = format!("`{name}` in quotes is the name of a port, and no port has a name without a letter");
        return Err(cursor.fail(ErrorKind::Value, message, "remove the quotes"));
    }
    let ports = || container.ports.iter().flatten();
    if let Some(port) = ports().find(|port| port.name.as_deref() == Some(name)) {
        // What is wrong with the port is told where it stands.
        return Ok(u16::try_from(port.container_port).unwrap_or_default());
    }
    let declared = ports_shown(ports().map(|port| (port.container_port, port.name.as_deref())));
    let remedy = if declared.is_empty() {
        "write its number, or add it with this name to ports, of which the container has none".to_owned()
    } else {
        format!("declared: {}; use one of these, or add it to ports", declared.join(", "))
    };
    Err(cursor.fail(ErrorKind::Missing, format!("the container has no port named `{name}`"), remedy))
}

/// Declared ports for people: `8080 (http)`.
pub(crate) fn ports_shown<'a>(ports: impl Iterator<Item = (i32, Option<&'a str>)>) -> Vec<String> {
    let shown = |(number, name): (i32, Option<&str>)| match name {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    };
    ports.map(shown).collect()
}

/// A port in the range that exists.
pub(crate) fn port_number(cursor: &Cursor<'_>, value: i32) -> Result<u16, Error> {
    u16::try_from(value).ok().filter(|number| *number > 0).ok_or_else(|| {
        let message = match value {
            0 => "the port is missing or 0".to_owned(),
            _ => format!("port {value} does not exist"),
        };
        cursor.fail(ErrorKind::Value, message, "write a number from 1 to 65535")
    })
}
