//! The cluster as its operator uses it. Main function: [`kubectl`].

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::support::wait_until;

/// Runs `kubectl`, which must succeed, and returns its output.
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    let output = Command::new("kubectl").args(arguments).output().expect("kubectl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Removes what a test gave to the cluster.
pub(crate) struct Guard(Vec<Vec<String>>);

impl Guard {
    /// Deletes these in the end: `&["namespace", NAME]`.
    pub(crate) fn deleting(what: &[&str]) -> Self {
        Self(Vec::new()).and(what)
    }

    pub(crate) fn and(mut self, what: &[&str]) -> Self {
        self.0.push(what.iter().map(|word| (*word).to_owned()).collect());
        self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for what in &self.0 {
            // What is gone already is what was asked for.
            let _ = Command::new("kubectl").arg("delete").args(what).arg("--ignore-not-found").output();
        }
    }
}

/// A kubeconfig for a service account, alone or with the project's rules.
pub(crate) fn service_account(name: &str, rules: Option<&Path>) -> (PathBuf, Guard) {
    let namespace = "e2e-runner";
    let account = if rules.is_some() { "e2e" } else { name };
    let mut guard = Guard::deleting(&["namespace", namespace]);
    let _ = Command::new("kubectl").args(["create", "namespace", namespace]).output();
    match rules {
        Some(rules) => {
            kubectl(&["apply", "--filename", &rules.to_string_lossy()]);
            guard = guard.and(&["--filename", &rules.to_string_lossy()]);
        }
        None => drop(kubectl(&["create", "serviceaccount", account, "--namespace", namespace])),
    }
    // A Secret of this type is filled with a token by every version of Kubernetes.
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-token, namespace: {namespace}, annotations: \
         {{kubernetes.io/service-account.name: {account}}}}}\ntype: kubernetes.io/service-account-token\n"
    );
    let directory = tempfile::tempdir().expect("a directory").keep();
    let file = directory.join("secret.yaml");
    std::fs::write(&file, secret).expect("a file");
    kubectl(&["apply", "--filename", &file.to_string_lossy()]);
    let path = format!("{name}-token");
    let decoded = "go-template={{with .data}}{{with .token}}{{base64decode .}}{{end}}{{end}}";
    let token = || kubectl(&["get", "secret", &path, "--namespace", namespace, "--output", decoded]);
    assert!(wait_until(Duration::from_secs(60), || !token().is_empty()), "the cluster makes a token");
    let kubeconfig = directory.join("kubeconfig");
    std::fs::write(&kubeconfig, kubectl(&["config", "view", "--raw", "--minify", "--flatten"])).expect("a file");
    let at = format!("--kubeconfig={}", kubeconfig.display());
    kubectl(&[&at, "config", "set-credentials", account, &format!("--token={}", token())]);
    kubectl(&[&at, "config", "set-context", "--current", &format!("--user={account}")]);
    (kubeconfig, guard)
}
