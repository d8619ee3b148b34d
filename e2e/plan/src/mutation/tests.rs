use std::{collections::BTreeSet, path::Path};

use rstest::rstest;

use super::*;
use crate::manifests::tests::{directory, read_at};

const SYSTEM: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data: {workers: '4', tls: 'false', 'app.conf': \"a\\nb\\n\"}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: web, port: 80, targetPort: http}, {name: admin, port: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      initContainers: [{name: migrate, image: 'registry.example:5000/shop/migrate', command: [migrate]}]
      containers:
        - name: app
          image: shop:1.2
          args: [serve, --port, '8000']
          ports: [{name: http, containerPort: 8000}, {containerPort: 9000}]
          env:
            - {name: DB_HOST, value: db}
            - {name: WORKERS, valueFrom: {configMapKeyRef: {name: shop, key: workers}}}
          securityContext: {runAsUser: 1000}
          resources: {limits: {memory: 64Mi, cpu: 200m}, requests: {cpu: 100m}}
          readinessProbe: {httpGet: {path: /ready, port: http}, timeoutSeconds: 2}
          livenessProbe: {exec: {command: [check, --fast]}, failureThreshold: 1}
          volumeMounts: [{name: config, mountPath: /etc/shop}]
      volumes: [{name: config, configMap: {name: shop}}]
";

/// The mutants of a manifest.
fn mutants_of(text: &str) -> Vec<Mutant> {
    let directory = directory(&[("shop.yaml", text)]);
    mutants(&read_at(directory.path(), &["shop.yaml"], &[]).unwrap().objects)
}

#[rstest]
#[case::selector("selector /spec/selector/app", "shop-other")]
#[case::service_port("service-port /spec/ports/0/port", "81")]
#[case::target_by_name("target-port /spec/ports/0/targetPort", "http-x")]
#[case::target_by_default("target-port /spec/ports/1/targetPort", "added: 9001")]
#[case::number("config-value /data/workers", "0")]
#[case::truth("config-value /data/tls", "true")]
#[case::replicas("no-replicas /spec/replicas", "0")]
#[case::tag("image-tag {app}/image", "shop:missing")]
#[case::registry_with_a_port("image-tag {pod}/initContainers/0/image", "registry.example:5000/shop/migrate:missing")]
#[case::init("init-missing {pod}/initContainers/0", "removed")]
#[case::argument("argument-missing {app}/args/2", "removed")]
#[case::misspelt("env-name {app}/env/0/name", "DB_HOTS")]
#[case::value("env-value {app}/env/0/value", "db-wrong")]
#[case::key("key-missing {app}/env/1/valueFrom/configMapKeyRef/key", "workers-missing")]
#[case::read_only("read-only-root {app}/securityContext/readOnlyRootFilesystem", "added: true")]
#[case::path("probe-path {app}/readinessProbe/httpGet/path", "/ready-missing")]
#[case::scheme("probe-scheme {app}/readinessProbe/httpGet/scheme", "added: \"HTTPS\"")]
#[case::command("probe-command {app}/livenessProbe/exec/command/0", "check-missing")]
#[case::timeout("probe-timeout {app}/readinessProbe/timeoutSeconds", "1")]
#[case::volume("volume-missing {pod}/volumes/0/configMap/name", "shop-missing")]
fn a_mistake_is_made_where_there_is_room_for_it(#[case] place: &str, #[case] expected: &str) {
    let mutants = mutants_of(SYSTEM);
    let pod = "/spec/template/spec";
    let place = place.replace("{app}", "{pod}/containers/0").replace("{pod}", pod);
    let found = mutants.iter().find(|mutant| format!("{} {}", mutant.operator, mutant.pointer) == place);
    let change = match &found.unwrap_or_else(|| panic!("{place} is not among {mutants:#?}")).change {
        Change::Add(value) => format!("added: {value}"),
        Change::Remove => "removed".to_owned(),
        Change::Replace(Value::String(text)) => text.clone(),
        Change::Replace(value) => value.to_string(),
    };
    assert_eq!(change, expected);
}

#[rstest]
#[case::a_threshold_that_is_one_already("probe-threshold", "livenessProbe")]
#[case::a_file("config-value", "app.conf")]
fn no_mutant_is_made_that_changes_nothing_or_anything(#[case] operator: &str, #[case] place: &str) {
    let mutants = mutants_of(SYSTEM);
    let is_it = |mutant: &&Mutant| mutant.operator.to_string() == operator && mutant.pointer.contains(place);
    assert_eq!(mutants.iter().find(is_it), None);
}

#[test]
fn a_confidential_value_is_not_shown() {
    let mutants = mutants_of(&SYSTEM.replace("value: db", "value: hunter2"));
    let shown: Vec<String> = mutants.iter().map(ToString::to_string).collect();
    assert!(!shown.iter().any(|text| text.contains("hunter2")), "{shown:#?}");
}

/// A mutant of the reference system, as an overlay, changes its field and nothing else. Every fifth: each reads all manifests again.
#[test]
fn overlays_make_the_change() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let original = read_at(&root, &["manifests"], &[]).unwrap().objects;
    let mutants = mutants(&original);
    let operators: BTreeSet<Operator> = mutants.iter().map(|mutant| mutant.operator).collect();
    assert!(mutants.len() >= 100 && operators.len() >= 20, "{} mutants by {operators:?}", mutants.len());
    let directory = tempfile::tempdir().unwrap();
    let overlay = directory.path().to_str().unwrap();
    let mut made = 0;
    for mutant in mutants.iter().step_by(5) {
        std::fs::write(directory.path().join("kustomization.yaml"), mutant.kustomization()).unwrap();
        // Some mistakes are refused, which is the best that can be said of them.
        let Ok(changed) = read_at(&root, &["manifests"], &[overlay]) else { continue };
        let differ: Vec<&Object> = changed.objects.iter().filter(|object| !original.contains(object)).collect();
        let [one] = differ[..] else { panic!("{mutant}: {differ:?} differ") };
        let expected = match &mutant.change {
            Change::Add(value) | Change::Replace(value) => Some(value),
            Change::Remove => None,
        };
        let is_list_item = mutant.pointer.rsplit('/').next().is_some_and(|key| key.parse::<u32>().is_ok());
        if !is_list_item {
            assert_eq!(one.json.pointer(&mutant.pointer), expected, "{mutant}");
        }
        made += 1;
    }
    assert!(made >= mutants.len() / 10, "only {made} of {} were accepted", mutants.len() / 5);
}
