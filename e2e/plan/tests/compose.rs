//! fixtures/compose is the system of manifests/ once more, or a comparison of the two would compare different things.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

#[test]
fn compose_and_manifests_describe_the_same_system() {
    let compose: Value = serde_saphyr::from_str(&read("fixtures/compose/docker-compose.yml")).expect("valid YAML");
    for (service, manifest) in [
        ("postgres", "postgres"),
        ("redis", "redis"),
        ("backend-1", "backend"),
        ("backend-2", "backend"),
        ("engine", "engine"),
        ("nginx", "nginx"),
    ] {
        let service = &compose["services"][service];
        let documents = documents(manifest);
        let workload = documents.iter().find(|document| !document["spec"]["template"].is_null()).expect("a workload");
        let pod = &workload["spec"]["template"]["spec"];
        let container = &pod["containers"][0];

        assert_eq!(service["image"], container["image"], "image of {manifest}");
        let command = if container["command"].is_null() { &container["args"] } else { &container["command"] };
        assert_eq!(service["command"], *command, "command of {manifest}");
        let limit = container["resources"]["limits"]["memory"].as_str().expect("a limit");
        assert_eq!(service["mem_limit"], limit.replace("Mi", "m"), "memory limit of {manifest}");
        let security = &pod["securityContext"];
        let user = format!("{}:{}", security["runAsUser"], security["runAsGroup"]);
        assert_eq!(service["user"], user, "user of {manifest}");
        let grace = format!("{}s", pod["terminationGracePeriodSeconds"]);
        assert_eq!(service["stop_grace_period"], grace, "grace period of {manifest}");
        assert_eq!(environment(service), environment_of_pod(container), "environment of {manifest}");
    }
}

#[test]
fn nginx_has_the_same_configuration() {
    let documents = documents("nginx");
    let manifest = find(&documents, "ConfigMap")["data"]["nginx.conf"].as_str().expect("a file");
    assert_eq!(read("fixtures/compose/nginx.conf"), manifest);
}

/// Variables with values; passwords, keys and names of replicas differ by nature, so only their presence counts.
fn environment(service: &Value) -> BTreeMap<String, Option<String>> {
    let variables = service["environment"].as_object().into_iter().flatten();
    let value = |name: &str, value: &Value| {
        let value = value.as_str().expect("a string");
        (!value.starts_with("${") && !name.ends_with("_REPLICA")).then(|| value.to_owned())
    };
    variables.map(|(name, text)| (name.clone(), value(name, text))).collect()
}

fn environment_of_pod(container: &Value) -> BTreeMap<String, Option<String>> {
    let variables = container["env"].as_array().into_iter().flatten();
    let value = |variable: &Value| {
        let from = &variable["valueFrom"]["configMapKeyRef"];
        match (variable["value"].as_str(), from["name"].as_str(), from["key"].as_str()) {
            (Some(value), ..) => Some(value.to_owned()),
            (None, Some(map), Some(key)) => {
                Some(find(&documents(map), "ConfigMap")["data"][key].as_str().expect("a key").to_owned())
            }
            _ => None,
        }
    };
    variables.map(|variable| (variable["name"].as_str().expect("a name").to_owned(), value(variable))).collect()
}

fn documents(component: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(&format!("manifests/{component}.yaml"))).expect("valid YAML")
}

fn find<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
