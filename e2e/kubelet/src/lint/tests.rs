use std::path::PathBuf;

use e2e_plan::{Manifest, Objects};
use rstest::rstest;

use super::*;
use crate::snapshot::{PodSpec, Snapshot};

fn plan(pod: &str, metadata: &str) -> Plan {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{selector: {{app: app}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app{metadata}}}\nspec:\n  selector: {{matchLabels: {{app: app}}}}\n  \
         template:\n    metadata: {{labels: {{app: app}}}}\n    spec: {{containers: [{{name: app, image: app:1, \
         ports: [{{containerPort: 80}}], {pod}"
    );
    Plan::of(Objects::read(&[Manifest { file: PathBuf::from("app.yaml"), text }])).unwrap()
}

fn codes(plan: &Plan, measured: Option<&Snapshot>) -> Vec<(String, Severity)> {
    lint(plan, measured).into_iter().map(|remark| (remark.code, remark.severity)).collect()
}

/// Two containers of which the same is said, and a third of which something else is.
#[test]
fn what_is_said_of_several_places_is_said_once() {
    let plan = plan(
        "startupProbe: {tcpSocket: {port: 80}}}, {name: web, image: web:1, ports: [{containerPort: 80}]}, {name: b, image: b:1, ports: [{containerPort: 80}]}]}",
        "",
    );
    let place = |name: &str| format!("Deployment/app containers[{name}] (app.yaml, document 2)");
    let (app, web, b) = (place("app"), place("web"), place("b"));
    let expected = format!(
        "note[no-readiness] {app}\n    Services send traffic to the container as soon as its startup probe has succeeded, even while it cannot serve\n    \
         fix: add a readinessProbe\n\
         note[no-readiness] 2 places\n    Services send traffic to the container as soon as it runs, whether it can serve or not\n    \
         fix: add a readinessProbe\n    {web}\n    {b}\n"
    );
    assert_eq!(text(&lint(&plan, None)), expected);
}

/// A pod takes traffic once all of its containers are ready.
#[test]
fn another_container_may_hold_traffic_back() {
    let plan =
        plan("readinessProbe: {tcpSocket: {port: 80}}}, {name: web, image: web:1, ports: [{containerPort: 80}]}]}", "");
    let remarks = lint(&plan, None);
    let reasons: Vec<&str> = remarks.iter().map(|remark| remark.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "Services send traffic to the container once the pod's other containers are ready, whether it can serve or not"
        ]
    );
}

/// Readiness does nothing for pods to which no Service leads. Manifests without a Service do not say whether one leads there.
#[rstest]
#[case::its_service("app", true)]
#[case::of_another("other", false)]
#[case::none("", true)]
fn identical_probes_matter_where_a_service_may_lead(#[case] selected: &str, #[case] is_said: bool) {
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{selector: {{app: {selected}}}, ports: [{{port: 80}}]}}\n---\n"
    );
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: app, labels: {app: app}}\nspec: {containers: [{name: app, image: app:1, \
               livenessProbe: {initialDelaySeconds: 60, tcpSocket: {port: 80}}, readinessProbe: {tcpSocket: {port: 80}}}]}\n";
    let text = if selected.is_empty() { pod.to_owned() } else { service + pod };
    let objects = Objects::read(&[Manifest { file: PathBuf::from("app.yaml"), text }]);
    let expected = is_said.then(|| ("identical-probes".to_owned(), Severity::Warning));
    assert_eq!(codes(&Plan::of(objects).unwrap(), None), Vec::from_iter(expected));
}

/// A sidecar among the init containers has probes like any other container.
#[test]
fn sidecars_are_looked_at() {
    let sidecar = "readinessProbe: {tcpSocket: {port: 80}}}], initContainers: [{name: proxy, image: proxy:1, restartPolicy: Always, \
                   livenessProbe: {tcpSocket: {port: 1}}}]}";
    let remarks = lint(&plan(sidecar, ""), None);
    let places: Vec<&str> = remarks.iter().map(|remark| remark.field.as_str()).collect();
    assert_eq!(places, ["initContainers[proxy].livenessProbe"]);
}

const READY: &str = "readinessProbe: {httpGet: {path: /a, port: 80}}";

#[rstest]
#[case::good("READY, startupProbe: {tcpSocket: {port: 80}}, livenessProbe: {httpGet: {path: /b, port: 80}}}]}", "")]
#[case::identical(
    "livenessProbe: {initialDelaySeconds: 60, httpGet: {path: /a, port: 80}}, READY}]}",
    "warning identical-probes"
)]
#[case::of_dependencies(
    "livenessProbe: {initialDelaySeconds: 60, failureThreshold: 9, httpGet: {path: /readyz, port: 80}}, readinessProbe: {httpGet: {path: /readyz, port: 80}}}]}",
    "error identical-probes"
)]
#[case::a_word_of_a_query(
    "livenessProbe: {initialDelaySeconds: 60, httpGet: {path: '/parse?of=readyz', port: 80}}, readinessProbe: {httpGet: {path: '/parse?of=readyz', port: 80}}}]}",
    "warning identical-probes"
)]
#[case::patient(
    "livenessProbe: {initialDelaySeconds: 60, failureThreshold: 9, httpGet: {path: /a, port: 80}}, READY}]}",
    ""
)]
#[case::a_word_within_a_word(
    "livenessProbe: {initialDelaySeconds: 60, failureThreshold: 6, httpGet: {path: /sandbox/already, port: 80}}, readinessProbe: {httpGet: {path: /sandbox/already, port: 80}}}]}",
    ""
)]
#[case::patient_by_its_period(
    "livenessProbe: {initialDelaySeconds: 60, periodSeconds: 30, httpGet: {path: /a, port: 80}}, readinessProbe: {periodSeconds: 5, httpGet: {path: /a, port: 80}}}]}",
    ""
)]
#[case::impatient_by_its_period(
    "livenessProbe: {initialDelaySeconds: 60, periodSeconds: 2, failureThreshold: 9, httpGet: {path: /a, port: 80}}, READY}]}",
    "warning identical-probes"
)]
#[case::identical_grpc(
    "livenessProbe: {initialDelaySeconds: 60, grpc: {port: 80}}, readinessProbe: {grpc: {port: 80}}}]}",
    "warning identical-probes"
)]
#[case::identical_tcp(
    "livenessProbe: {initialDelaySeconds: 60, tcpSocket: {port: 80}}, readinessProbe: {tcpSocket: {port: 80}}}]}",
    "warning identical-probes"
)]
#[case::identical_exec(
    "livenessProbe: {initialDelaySeconds: 60, exec: {command: [ping]}}, readinessProbe: {exec: {command: [ping]}}}]}",
    "warning identical-probes"
)]
#[case::identical_but_for_the_slash_that_a_kubelet_adds(
    "livenessProbe: {initialDelaySeconds: 60, httpGet: {path: a, port: 80}}, READY}]}",
    "warning identical-probes"
)]
#[case::liveness_of_dependencies(
    "livenessProbe: {initialDelaySeconds: 60, httpGet: {path: /health/db, port: 80}}, READY}]}",
    "warning dependent-liveness"
)]
#[case::a_single_failure(
    "livenessProbe: {initialDelaySeconds: 60, failureThreshold: 1, httpGet: {path: /b, port: 80}}, READY}]}",
    "warning single-failure"
)]
#[case::a_single_failure_of_readiness("readinessProbe: {failureThreshold: 1, httpGet: {path: /a, port: 80}}}]}", "")]
#[case::a_line_in_one_item("readinessProbe: {exec: {command: [cat /tmp/up]}}}]}", "warning exec-without-shell")]
#[case::a_pipe("readinessProbe: {exec: {command: [check, \"|\", grep, ok]}}}]}", "warning exec-without-shell")]
#[case::a_variable("readinessProbe: {exec: {command: [redis-cli, -a, $PASSWORD]}}}]}", "warning exec-without-shell")]
#[case::a_script_in_parts(
    "readinessProbe: {exec: {command: [/bin/sh, -c, test, -f, /up]}}}]}",
    "warning exec-without-shell"
)]
#[case::a_script("readinessProbe: {exec: {command: [sh, -ec, \"check | grep $NAME && test -f /up\"]}}}]}", "")]
#[case::a_script_with_parameters("readinessProbe: {exec: {command: [sh, -c, \"check $0\", up]}}}]}", "")]
#[case::a_script_with_a_name("readinessProbe: {exec: {command: [sh, -c, \"test -f /up\", sh]}}}]}", "")]
#[case::a_script_behind_options("readinessProbe: {exec: {command: [bash, -c, --, test -f /up]}}}]}", "")]
#[case::a_separator("readinessProbe: {exec: {command: [cut, -d, \"|\", -f1, /up]}}}]}", "")]
#[case::an_end_of_a_command("readinessProbe: {exec: {command: [find, /up, -exec, test, -s, \"{}\", \";\"]}}}]}", "")]
#[case::a_pattern("readinessProbe: {exec: {command: [grep, -q, \"^ok$\", /tmp/up]}}}]}", "")]
#[case::a_statement("readinessProbe: {exec: {command: [psql, -c, SELECT 1]}}}]}", "")]
#[case::a_script_of_perl("readinessProbe: {exec: {command: [/usr/bin/perl, -w, -e, $UP]}}}]}", "")]
#[case::a_program_of_awk("readinessProbe: {exec: {command: [awk, \"-F:\", $NF, /up]}}}]}", "")]
#[case::a_script_of_powershell(
    "readinessProbe: {exec: {command: [pwsh, -Command, Get-Content, /up, \"|\", Select-String, ok]}}}]}",
    ""
)]
#[case::a_line_for_cmd(
    "readinessProbe: {exec: {command: ['C:\\Windows\\System32\\cmd.exe', /C, check, \"&&\", more]}}}]}",
    ""
)]
#[case::a_variable_behind_a_script(
    "readinessProbe: {exec: {command: [perl, -e, \"exit $ARGV[0]\", $UP]}}}]}",
    "warning exec-without-shell"
)]
#[case::memory_in_thousandths(
    "READY, resources: {limits: {memory: 128m}, requests: {memory: 0}}}]}",
    "error memory-unit"
)]
#[case::little_memory_asked_for("READY, resources: {requests: {memory: 512}}}]}", "warning memory-unit")]
#[case::many_cores("READY, resources: {requests: {cpu: 500}}}]}", "warning cpu-unit")]
#[case::units_that_are_meant(
    "READY, resources: {requests: {cpu: 500m, memory: 100Ki}, limits: {cpu: 96, memory: 2Ti}}}]}",
    ""
)]
#[case::a_path_of_windows("readinessProbe: {exec: {command: ['C:\\Program Files\\app\\check.exe']}}}]}", "")]
#[case::a_rare_liveness(
    "READY, livenessProbe: {periodSeconds: 200, httpGet: {path: /b, port: 80}}}]}",
    "note rare-probe"
)]
#[case::a_late_liveness(
    "READY, livenessProbe: {initialDelaySeconds: 600, httpGet: {path: /b, port: 80}}}]}",
    "note rare-probe"
)]
#[case::a_rare_readiness("readinessProbe: {periodSeconds: 61, httpGet: {path: /a, port: 80}}}]}", "note rare-probe")]
#[case::a_readiness_each_minute("readinessProbe: {periodSeconds: 60, httpGet: {path: /a, port: 80}}}]}", "")]
#[case::a_rare_startup(
    "READY, startupProbe: {periodSeconds: 300, httpGet: {path: /b, port: 80}}}]}",
    "note rare-probe"
)]
#[case::short_startup(
    "READY, startupProbe: {periodSeconds: 1, failureThreshold: 2, httpGet: {path: /b, port: 80}}}]}",
    "warning short-startup"
)]
#[case::a_port(
    "READY, env: [{name: SHUTDOWN_PORT, value: \"8005\"}, {name: LOG_DRAIN_PORT, value: \"514\"}, {name: GRACEFUL_TIMEOUT, value: \"15000\"}]}]}",
    ""
)]
#[case::drain_of_named_unit("READY, env: [{name: SHUTDOWN_SECONDS, value: \"40\"}]}]}", "error grace-too-short")]
#[case::no_startup("READY, livenessProbe: {httpGet: {path: /b, port: 80}}}]}", "warning no-startup")]
#[case::no_readiness("startupProbe: {tcpSocket: {port: 80}}}]}", "note no-readiness")]
#[case::host("readinessProbe: {httpGet: {path: /a, port: 80, host: app.example}}}]}", "error host-set")]
#[case::host_of_its_own("readinessProbe: {httpGet: {path: /a, port: 80, host: 127.0.0.1}}}], hostNetwork: true}", "")]
#[case::host_of_the_node("readinessProbe: {httpGet: {path: /a, port: 80, host: 127.0.0.1}}}]}", "error host-set")]
#[case::exec("readinessProbe: {periodSeconds: 1, exec: {command: [\"true\"]}}}]}", "warning exec-often")]
#[case::exec_seldom("readinessProbe: {periodSeconds: 10, exec: {command: [\"true\"]}}}]}", "")]
#[case::timeout(
    "readinessProbe: {periodSeconds: 2, timeoutSeconds: 3, httpGet: {path: /a, port: 80}}}]}",
    "note timeout-over-period"
)]
#[case::pre_stop("READY, lifecycle: {preStop: {exec: {command: [sh, -c, \"sleep 30\"]}}}}]}", "error grace-too-short")]
#[case::pre_stop_by_path(
    "READY, lifecycle: {preStop: {exec: {command: [/bin/sleep, \"30\"]}}}}]}",
    "error grace-too-short"
)]
#[case::pre_stop_and_more(
    "READY, lifecycle: {preStop: {exec: {command: [sh, -c, \"sleep 30; nginx -s quit\"]}}}}]}",
    "error grace-too-short"
)]
#[case::drain(
    "READY, env: [{name: APP_DRAIN_DELAY, value: 20s}]}], terminationGracePeriodSeconds: 15}",
    "error grace-too-short"
)]
#[case::drain_as_long_as_the_grace_period(
    "READY, env: [{name: SHUTDOWN_TIMEOUT, value: 30s}]}]}",
    "warning grace-too-short"
)]
#[case::hook_and_drain(
    "READY, env: [{name: SHUTDOWN_TIMEOUT, value: 20s}], lifecycle: {preStop: {sleep: {seconds: 15}}}}]}",
    "warning grace-too-short"
)]
#[case::hook_and_drain_in_time(
    "READY, env: [{name: SHUTDOWN_TIMEOUT, value: 20s}], lifecycle: {preStop: {sleep: {seconds: 5}}}}]}",
    ""
)]
#[case::a_sidecar_that_no_service_targets("READY}, {name: logs, image: logs:1, ports: [{containerPort: 2020}]}]}", "")]
#[case::drain_in_time("READY, env: [{name: APP_DRAIN_MS, value: \"9000\"}]}], terminationGracePeriodSeconds: 15}", "")]
fn a_rule_says_what_it_is_for(#[case] pod: &str, #[case] expected: &str) {
    let said = |metadata: &str| {
        let remarks = lint(&plan(&pod.replace("READY", READY), metadata), None);
        let said: Vec<String> = remarks.iter().map(|remark| format!("{} {}", remark.severity, remark.code)).collect();
        said.join(", ")
    };
    assert_eq!(said(""), expected);
    let code = expected.rsplit(' ').next().unwrap_or_default();
    let ignoring = format!(", annotations: {{{LINT_IGNORE}: \"other, {code}\"}}");
    assert_eq!(said(&ignoring), "", "an annotation leaves it out");
}

/// The component of the second one has another name than the workload.
#[test]
fn an_annotation_counts_for_the_workload_that_has_it() {
    let workload = |namespace: &str, annotations: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: app, namespace: {namespace}{annotations}}}, spec: {{selector: \
             {{matchLabels: {{app: app}}}}, template: {{metadata: {{labels: {{app: app}}}}, spec: {{containers: [{{name: app, image: x, \
             readinessProbe: {{periodSeconds: 1, exec: {{command: [a]}}}}}}]}}}}}}}}\n"
        )
    };
    let ignoring = format!(", annotations: {{{LINT_IGNORE}: exec-often}}");
    let text = format!("{}---\n{}", workload("a", ""), workload("b", &ignoring));
    let plan = Plan::of(Objects::read(&[Manifest { file: PathBuf::from("app.yaml"), text }])).unwrap();
    let workloads: Vec<String> = lint(&plan, None).into_iter().map(|remark| remark.workload).collect();
    assert_eq!(workloads, ["Deployment/app"]);
}

#[test]
fn what_was_measured_is_compared() {
    let plan = plan(&format!("{READY}, livenessProbe: {{periodSeconds: 1, httpGet: {{path: /b, port: 80}}}}}}]}}"), "");
    let specs = ["app-0", "app-worker-0"].map(|name| PodSpec::of_plan(name, &plan.components[0].pod));
    let mut snapshot = Snapshot::of_specs(&specs);
    let measure = |snapshot: &mut Snapshot, pod: &str, max_ms, start_ms| {
        let container = snapshot.pods.get_mut(pod).unwrap().container_mut("app").unwrap();
        let probe = container.probes.get_mut(&ProbeKind::Readiness).unwrap();
        (probe.sent, probe.max_ms, probe.first_success_ms) = (Some(1), max_ms, Some(start_ms));
    };
    measure(&mut snapshot, "app-0", 3.0, 200);
    // Another component's.
    measure(&mut snapshot, "app-worker-0", 1200.0, 9000);
    assert_eq!(codes(&plan, Some(&snapshot)), []);
    measure(&mut snapshot, "app-0", 700.0, 1500);
    let warned = |code: &str| (code.to_owned(), Severity::Warning);
    assert_eq!(codes(&plan, Some(&snapshot)), [warned("no-startup"), warned("timeout-too-short")]);
    measure(&mut snapshot, "app-0", 1200.0, 9000);
    let failed = |code: &str| (code.to_owned(), Severity::Error);
    assert_eq!(codes(&plan, Some(&snapshot)), [failed("no-startup"), failed("timeout-too-short")]);
}
