//! A project that lies deep in the file system: a Unix socket's path may have 107 bytes, other paths 4096.

mod support;

use support::{expect, unique, xtask_in};

const POSTGRES: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: db, annotations: {e2e/generate: password}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
        - name: db
          image: postgres:15
          env: [{name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]
          ports: [{containerPort: 5432}]
          readinessProbe: {exec: {command: [pg_isready, --quiet]}, periodSeconds: 1}
";

#[test]
fn postgres_runs_in_a_deep_directory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("a-directory-with-a-long-name/".repeat(5));
    support::write(&root, &[("manifests/db.yaml", POSTGRES), (".config/e2e.toml", "suites = []\n")]);
    let arguments = ["e2e", "--target", "local", "--bring-up", "30s", "--run-id", &unique("deep")];
    expect(&xtask_in(&root, &arguments).output().expect("it starts"), 0, &[]);
}
