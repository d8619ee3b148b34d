//! Which component starts after which.

use super::*;

/// A Deployment with a Service of the same name at port 80, and env.
fn component(name: &str, env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n        - name: app\n          image: x\n          \
         ports: [{{containerPort: 80}}]\n          env: [{env}]\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
         selector: {{app: {name}}}\n  ports: [{{port: 80}}]\n---\n"
    )
}

fn call(name: &str) -> String {
    format!("{{name: UP_{name}, value: 'http://{name}/'}}")
}

fn order(components: &[(&str, &[&str])]) -> Plan {
    let text: String = components
        .iter()
        .map(|(name, calls)| component(name, &calls.iter().map(|name| call(name)).collect::<Vec<_>>().join(", ")))
        .collect();
    plan_of(&text)
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.components.iter().map(|component| component.name.as_str()).collect()
}

#[test]
fn components_without_references_keep_their_order() {
    assert_eq!(names(&order(&[("c", &[]), ("a", &[]), ("b", &[])])), ["c", "a", "b"]);
}

#[test]
fn a_component_comes_after_those_it_calls() {
    let plan = order(&[
        ("nginx", &["backend"]),
        ("backend", &["redis", "postgres"]),
        ("postgres", &[]),
        ("redis", &[]),
        ("alone", &[]),
    ]);
    assert_eq!(names(&plan), ["postgres", "redis", "backend", "nginx", "alone"]);
    assert_eq!(plan.components[2].depends_on, ["postgres", "redis"]);
    assert_eq!(plan.components[3].depends_on, ["backend"]);
    assert!(plan.warnings(Target::Docker).is_empty());
}

#[test]
fn a_circle_is_broken_at_its_first_component_and_said() {
    let plan = order(&[("out", &["a"]), ("a", &["b"]), ("b", &["a", "db"]), ("db", &[])]);
    assert_eq!(names(&plan), ["db", "a", "out", "b"]);
    assert_eq!(plan.components[1].depends_on, Vec::<String>::new());
    assert_eq!(plan.components[3].depends_on, ["a", "db"]);
    let warnings = plan.warnings(Target::Local);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].object, "Deployment/a");
    assert_eq!(warnings[0].path, "spec.template.spec");
    assert_eq!(warnings[0].reason, "refers to b, which refers back to it: it starts before b");
    assert!(plan.warnings(Target::K8s).is_empty());
}

#[test]
fn a_call_to_oneself_is_no_dependency() {
    let plan = order(&[("a", &["a"])]);
    assert_eq!(plan.components[0].depends_on, Vec::<String>::new());
}

#[test]
fn secrets_config_files_and_arguments_count() {
    let web = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
        - {name: wait, image: x, command: [sh, -c, 'until nc -z c 80; do sleep 1; done']}
      containers:
        - name: app
          image: x
          args: [--upstream, d]
          env:
            - {name: A, valueFrom: {secretKeyRef: {name: web, key: url}}}
          volumeMounts: [{name: config, mountPath: /etc/web}]
      volumes:
        - {name: config, configMap: {name: web}}
        - {name: unused, configMap: {name: other}}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {url: 'http://user:pw@a'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data:
  web.conf: |
    # server e:80;
    proxy_pass http://b/;
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data: {x: 'http://f'}
---
";
    let text: String = ["a", "b", "c", "d", "e", "f"].iter().map(|name| component(name, "")).collect();
    let plan = plan_of(&format!("{web}{text}"));
    let web = plan.components.iter().find(|component| component.name == "web").unwrap();
    assert_eq!(web.depends_on, ["a", "b", "c", "d"]);
}

/// A Job that helm creates at a moment of its own, and that calls something.
fn hook(name: &str, (moment, weight): (&str, &str), calls: &[&str]) -> String {
    let env = calls.iter().map(|name| call(name)).collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{moment}', helm.sh/hook-weight: '{weight}'}}}}\n\
         spec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n        - {{name: app, image: x, env: [{env}]}}\n---\n"
    )
}

fn texts(plan: &Plan, target: Target) -> Vec<String> {
    plan.warnings(target).iter().map(|warning| format!("{}: {}", warning.object, warning.reason)).collect()
}

#[test]
fn a_job_that_reads_the_whole_configmap_of_an_application_does_not_call_it() {
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: all}\ndata: {DB: 'db:80', API_URL: 'http://api/'}\n---\n";
    let reads = |text: String| text.replace("env: []", "envFrom: [{configMapRef: {name: all}}]");
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec: {template: {spec: {restartPolicy: Never, containers: \
               [{name: app, image: x, env: []}]}}}\n---\n";
    let plan =
        plan_of(&[map.to_owned(), component("db", ""), reads(component("api", "")), reads(job.to_owned())].concat());
    assert_eq!(names(&plan), ["db", "migrate", "api"]);
    assert_eq!(plan.component("api").unwrap().depends_on, ["db", "migrate"]);
}

#[test]
fn a_job_that_argo_cd_runs_first_comes_before_what_it_does_not_call() {
    let job = |hook: &str, calls: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, annotations: {{argocd.argoproj.io/hook: {hook}}}}}\n\
             spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: app, image: x, env: [{calls}]}}]}}}}}}\n---\n"
        )
    };
    let text = [component("db", ""), component("web", "")].concat();
    let plan = plan_of(&(text.clone() + &job("PreSync", &call("db"))));
    assert_eq!(names(&plan), ["db", "migrate", "web"]);
    assert_eq!(plan.component("web").unwrap().depends_on, ["migrate"]);
    let database = component("cache", "").replace("image: x", "image: redis:7");
    let plan = plan_of(&(text.clone() + &database + &job("PreSync", "")));
    assert_eq!(names(&plan), ["cache", "migrate", "db", "web"]);
    assert_eq!(names(&plan_of(&(text + &job("PostSync", "")))), ["db", "web", "migrate"]);
    // Others call what it calls, too, but Argo CD makes it last, or never.
    let text = [component("db", ""), component("web", &call("db"))].concat();
    for (hook, after) in [("Sync", &["db", "migrate"][..]), ("PostSync", &["db"]), ("SyncFail", &["db"])] {
        let plan = plan_of(&(text.clone() + &job(hook, &call("db"))));
        assert_eq!(plan.component("web").unwrap().depends_on, after, "{hook}");
    }
}

#[test]
fn the_variable_with_a_service_s_address_is_a_call() {
    let reads = "{name: URL, value: 'http://$(MY_DB_SERVICE_HOST):$(MY_DB_SERVICE_PORT)/'}";
    let plan = plan_of(&[component("api", reads), component("my-db", "")].concat());
    assert_eq!(plan.component("api").unwrap().depends_on, ["my-db"]);
}

#[test]
fn hooks_of_helm_come_one_after_another_before_and_after_the_rest() {
    let text = [
        hook("seed", ("post-install,post-upgrade", "1"), &["web"]),
        hook("early", ("post-install", "-1"), &[]),
        component("web", ""),
        hook("second", ("pre-install", "5"), &[]),
        hook("first", ("pre-install, pre-upgrade", "-5"), &[]),
        hook("unweighted", ("pre-install", "none"), &[]),
    ];
    let plan = plan_of(&text.concat());
    let after = |name: &str| plan.component(name).unwrap().after.clone();
    assert_eq!(names(&plan), ["first", "unweighted", "second", "early", "web", "seed"]);
    assert_eq!(after("first"), Vec::<String>::new());
    assert_eq!(after("second"), ["first", "unweighted"]);
    assert_eq!(after("web"), ["first", "unweighted", "second"]);
    assert_eq!(after("seed"), ["first", "unweighted", "second", "early"]);
    // What a hook after the rest calls does not wait for it, as a migration would have it.
    assert_eq!(plan.component("seed").unwrap().depends_on, ["web"]);
    for target in Target::ALL {
        assert_eq!(texts(&plan, target), Vec::<String>::new());
    }
}

#[test]
fn a_hook_before_the_rest_cannot_wait_for_it() {
    let plan = plan_of(
        &[component("db", ""), component("web", &call("db")), hook("migrate", ("pre-install", "0"), &["db"])].concat(),
    );
    assert_eq!(names(&plan), ["migrate", "db", "web"]);
    assert_eq!(plan.component("migrate").unwrap().depends_on, Vec::<String>::new());
    assert_eq!(plan.component("db").unwrap().after, ["migrate"]);
    let expected = "Job/migrate: refers to db, which helm creates after this pre-install hook has ended";
    assert_eq!(texts(&plan, Target::Docker), [expected]);
}

#[test]
fn nothing_waits_for_a_hook_after_the_rest() {
    let plan = plan_of(
        &[component("db", ""), component("web", &call("db")), hook("migrate", ("post-install", "0"), &["db"])].concat(),
    );
    assert_eq!(plan.component("web").unwrap().earlier().collect::<Vec<_>>(), ["db"]);
    assert_eq!(plan.component("migrate").unwrap().earlier().collect::<Vec<_>>(), ["db"]);
}
