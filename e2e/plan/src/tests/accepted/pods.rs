//! Containers and ports, and what leads to them.

use std::time::Duration;

use super::*;

#[rstest]
#[case::probed("port: http}\n          vol", "port: 9}\n          vol", &[9, 8000])]
#[case::reached_by_a_service("targetPort: http", "targetPort: 9000", &[8000, 9000])]
#[case::named_by_a_service_alone(", targetPort: http", "", &[80, 8000])]
#[case::in_two_protocols("containerPort: 8000", "containerPort: 8000\n            - {name: dns, containerPort: 53, protocol: UDP}", &[8000])]
fn ports_need_no_declaration(#[case] old: &str, #[case] new: &str, #[case] expected: &[u16]) {
    let plan = plan_of(&base_with(old, new));
    assert_eq!(plan.components[0].pod.ports.iter().copied().collect::<Vec<_>>(), expected);
}

#[rstest]
#[case::one_port_with_two_names("- name: http\n", "- {containerPort: 8000, name: web}\n            - name: http\n")]
#[case::one_name_in_two_containers(
    "        - name: app\n",
    "        - {name: side, image: x, ports: [{name: http, containerPort: 9}]}\n        - name: app\n"
)]
#[case::one_port_in_two_containers(
    "        - name: app\n",
    "        - {name: side, image: x, ports: [{containerPort: 8000}]}\n        - name: app\n"
)]
#[case::path_from_the_root("mountPath: /tmp", "mountPath: tmp")]
#[case::resources_of_no_limit(
    "{configMapKeyRef: {name: settings, key: level}}",
    "{resourceFieldRef: {resource: limits.ephemeral-storage}}"
)]
fn what_else_is_no_fault(#[case] old: &str, #[case] new: &str) {
    plan_of(&base_with(old, new));
}

#[test]
fn a_limit_that_is_not_given_is_the_nodes() {
    let text = base_with("            limits: {cpu: 500m, memory: 128Mi}\n", "")
        .replace("{configMapKeyRef: {name: settings, key: level}}", "{resourceFieldRef: {resource: limits.cpu}}");
    let container = plan_of(&text).components[0].pod.containers[0].clone();
    let identity = Identity { node_cpu_millis: 3500, ..Identity::default() };
    assert!(container.resolve(&identity).env.contains(&("LEVEL".to_owned(), "4".to_owned())));
}

#[test]
fn sidecars_are_init_containers_that_go_on() {
    let inits = "      initContainers:\n        - {name: proxy, image: x, restartPolicy: Always, ports: [{containerPort: 9}], readinessProbe: {tcpSocket: {port: 9}}}\n        - {name: init, image: x}\n";
    let plan = plan_of(&base_with("      containers:\n", &format!("{inits}      containers:\n")));
    let pod = &plan.components[0].pod;
    let sidecars: Vec<_> = pod.init_containers.iter().map(|container| container.is_sidecar).collect();
    assert_eq!(sidecars, [true, false]);
    assert!(pod.init_containers[0].probes.readiness.is_some());
    assert!(pod.ports.contains(&9));
}

#[rstest]
#[case::selects_nothing(
    "  selector: {app: backend}\n  ports",
    "  selector: {app: backnd}\n  ports",
    "spec.selector: app=backnd matches no pod: nothing answers under its name; nearest: Deployment/backend has app=backend"
)]
#[case::no_selector(
    "  selector: {app: backend}\n  ports",
    "  ports",
    "spec: it has no selector and so no pods in the manifests: nothing answers under its name"
)]
fn services_of_outside_pods(#[case] old: &str, #[case] new: &str, #[case] expected: &str) {
    let plan = plan_of(&base_with(old, new));
    assert_eq!(plan.services, []);
    for target in Target::ALL {
        assert_eq!(notes(&plan, target, "Service/backend"), [expected]);
    }
}

#[test]
fn a_port_of_no_name_leads_nowhere() {
    let plan = plan_of(&base_with("targetPort: http", "targetPort: web"));
    assert_eq!(plan.services[0].ports, []);
    let expected = "spec.ports[http].targetPort: no container of Deployment/backend has a port named `web`: nothing answers there; declared: 8000 (http)";
    assert_eq!(notes(&plan, Target::K8s, "Service/backend"), [expected]);
}

/// A migration refers to the database that the application refers to as well.
#[test]
fn a_job_comes_before_those_that_share_what_it_prepares() {
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"
        )
    };
    let deployment = |name: &str, calls: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, \
                 spec: {{containers: [{{name: a, image: x, args: ['http://{calls}/']}}]}}}}}}\n"
        )
    };
    let job = |name: &str, calls: &str| {
        format!(
            "---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: x, args: ['http://{calls}/']}}]}}}}}}\n"
        )
    };
    let text = [
        deployment("app", "db"),
        deployment("web", "app"),
        deployment("db", "none"),
        job("migrate", "db"),
        job("seed", "app"),
        service("db"),
        service("app"),
    ]
    .concat();
    let plan = plan_of(&text);
    assert_eq!(plan.component("app").unwrap().depends_on, ["db", "migrate"]);
    // What seeds through the application waits for it, and not the other way round.
    assert_eq!(plan.component("seed").unwrap().depends_on, ["app"]);
    assert_eq!(plan.component("migrate").unwrap().depends_on, ["db"]);
    assert_eq!(plan.component("web").unwrap().depends_on, ["app", "seed"]);
}

#[test]
fn hooks_ask_a_port_of_the_pod_run_a_command_or_sleep() {
    let hooks = |text: &str| {
        let text = base_with(
            "          livenessProbe:\n",
            &format!("          lifecycle: {text}\n          livenessProbe:\n"),
        );
        let pod = plan_of(&text).components[0].pod.clone();
        (pod.containers[0].hooks.clone(), pod.ports)
    };
    let (found, ports) = hooks("{postStart: {httpGet: {port: 9}}, preStop: {exec: {command: [stop, $(NO)]}}}");
    let get = ProbeAction::HttpGet { https: false, host: None, port: 9, path: "/".into(), headers: vec![] };
    let command = ProbeAction::Exec { command: vec!["stop".into(), "$(NO)".into()] };
    assert_eq!(found, Hooks { post_start: Some(Hook::Run(get)), pre_stop: Some(Hook::Run(command)) });
    assert!(ports.contains(&9));
    let (found, _) = hooks("{preStop: {sleep: {seconds: 30}}}");
    assert_eq!(found, Hooks { post_start: None, pre_stop: Some(Hook::Sleep(Duration::from_secs(30))) });
}

/// Kubernetes 1.27 and later take a negative time to stop as one second.
#[test]
fn a_negative_grace_period_is_a_second() {
    let plan = plan_of(&base_with("      volumes:\n", "      terminationGracePeriodSeconds: -1\n      volumes:\n"));
    assert_eq!(plan.component("backend").unwrap().pod.termination_grace, Duration::from_secs(1));
    let note = "spec.template.spec.terminationGracePeriodSeconds: a negative time counts as 1 s, as in a cluster since Kubernetes 1.27";
    assert_eq!(notes(&plan, Target::K8s, "Deployment/backend"), [note]);
}
