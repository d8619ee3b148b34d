//! Tests of the whole way from YAML to a plan.

mod accepted;
mod bad_input;
mod bad_objects;
mod cluster_rules;
mod contents;
mod golden;
mod no_panic;
mod order;
mod overlays;
mod targets;

use std::collections::BTreeMap;

use super::*;
use crate::target::Target;

/// Manifests in which every part of a plan occurs once. Tests change single lines of it, so its line numbers count.
const BASE: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: backend
spec:
  replicas: 2
  selector:
    matchLabels: {app: backend}
  template:
    metadata:
      labels: {app: backend}
    spec:
      volumes:
        - name: config
          configMap: {name: settings}
        - name: tmp
          emptyDir: {}
      containers:
        - name: app
          image: backend:dev
          args: []
          env:
            - name: EMPTY
              value: \"\"
            - name: DB
              value: postgres:5432
            - name: LEVEL
              valueFrom: {configMapKeyRef: {name: settings, key: level}}
            - name: PASSWORD
              valueFrom: {secretKeyRef: {name: keys, key: password}}
          ports:
            - name: http
              containerPort: 8000
          resources:
            requests: {cpu: 100m, memory: 64Mi}
            limits: {cpu: 500m, memory: 128Mi}
          livenessProbe:
            httpGet: {path: /livez, port: http}
          volumeMounts:
            - {name: config, mountPath: /etc/app}
            - {name: tmp, mountPath: /tmp}
---
apiVersion: v1
kind: Service
metadata:
  name: backend
spec:
  selector: {app: backend}
  ports:
    - {name: http, port: 80, targetPort: http}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  level: info
---
apiVersion: v1
kind: Secret
metadata:
  name: keys
stringData:
  password: hunter2
";

/// [`BASE`] with one text in the place of another, which must occur.
fn base_with(old: &str, new: &str) -> String {
    assert!(BASE.contains(old), "{old} is not in the base");
    BASE.replacen(old, new, 1)
}

/// The base with lines in the Deployment's `spec`, in the pod's, in the container, in a volume's place, or in the Service's.
fn with(place: &str, lines: &str) -> String {
    match place {
        "workload" => base_with("  replicas: 2\n", &format!("  {lines}\n")),
        "pod" => base_with("      volumes:\n", &format!("      {lines}\n      volumes:\n")),
        "container" => base_with("          args: []\n", &format!("          {lines}\n")),
        "volume" => base_with("emptyDir: {}", lines),
        "service" => base_with(
            "  selector: {app: backend}\n  ports",
            &format!("  {lines}\n  selector: {{app: backend}}\n  ports"),
        ),
        _ => panic!("{place}"),
    }
}

fn manifest(file: &str, text: &str) -> Manifest {
    Manifest { file: file.into(), text: text.into() }
}

fn overlay(patch: &str) -> Overlay {
    Overlay { label: "fault".into(), manifests: vec![manifest("patch.yaml", patch)] }
}

/// The plan of one file, overlays over it, and overrides.
fn plan_with(text: &str, overlays: Vec<Overlay>, sets: &[&str], replicas: &[(&str, u32)]) -> Result<Plan, Errors> {
    let mut generate = |secret: &str, key: &str| format!("made-up-{secret}-{key}");
    let mut objects = Objects::read(&[manifest("app.yaml", text)]);
    overlays.iter().for_each(|overlay| objects.patch(overlay));
    Plan::from_manifests(Input {
        objects,
        given: Vec::new(),
        sets: sets.iter().map(|set| set.parse()).collect::<Result<_, Error>>()?,
        replicas: replicas.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>(),
        generate: &mut generate,
    })
}

fn plan_of(text: &str) -> Plan {
    plan_with(text, Vec::new(), &[], &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn error_of(text: &str) -> String {
    plan_with(text, Vec::new(), &[], &[]).map(|_| ()).unwrap_err().to_string()
}
