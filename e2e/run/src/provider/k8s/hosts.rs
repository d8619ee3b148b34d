//! Full names of Services: those of the manifests name the manifests' namespaces, for which the run's stands in a cluster. Main type:
//! [`FullNames`].

use std::borrow::Cow;

use e2e_plan::{Object, json::change_texts};
use k8s_openapi::ByteString;
use regex::{Captures, Regex};
use serde_json::Value;

/// The Services of the manifests, as `name.namespace.svc` names them.
#[derive(Debug, Clone, Default)]
pub(super) struct FullNames(Option<Regex>);

impl FullNames {
    pub(super) fn of(objects: &[Object]) -> Self {
        let is_service = |object: &&Object| object.kind == "Service" && object.json["apiVersion"] == "v1";
        let host = |object: &Object| format!(r"{}\.{}", regex::escape(&object.name), regex::escape(object.home()));
        let hosts: Vec<String> = objects.iter().filter(is_service).map(host).collect();
        // A pod's name may stand before a Service's, and the cluster's domain after it.
        let pattern = format!(r"(^|[^A-Za-z0-9_-])({})\.svc\b", hosts.join("|"));
        Self((!hosts.is_empty()).then(|| Regex::new(&pattern).expect("names are escaped")))
    }

    /// Puts the run's namespace into every full name that an object holds, also in the encoded values of a Secret.
    pub(super) fn move_to(&self, namespace: &str, object: &mut Value) {
        let Some(pattern) = &self.0 else { return };
        let is_secret = object["kind"] == "Secret" && object["apiVersion"] == "v1";
        if let Some(values) = object.get_mut("data").and_then(Value::as_object_mut).filter(|_| is_secret) {
            values.values_mut().for_each(|value| move_encoded(pattern, namespace, value));
        }
        change_texts(object, &mut |text| {
            if let Cow::Owned(moved) = moved(pattern, namespace, text) {
                *text = moved;
            }
        });
    }
}

fn moved<'a>(pattern: &Regex, namespace: &str, text: &'a str) -> Cow<'a, str> {
    pattern.replace_all(text, |found: &Captures<'_>| {
        // `db.default.svc-x` is a name of its own.
        if text[found.get_match().end()..].starts_with('-') {
            return found[0].to_owned();
        }
        let name = found[2].split('.').next().unwrap_or_default();
        format!("{}{name}.{namespace}.svc", &found[1])
    })
}

/// The same in base64. What is no text holds no host.
fn move_encoded(pattern: &Regex, namespace: &str, value: &mut Value) {
    let decoded = serde_json::from_value::<ByteString>(value.clone()).ok();
    let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes.0).ok()) else { return };
    if let Cow::Owned(moved) = moved(pattern, namespace, &text)
        && let Ok(encoded) = serde_json::to_value(ByteString(moved.into_bytes()))
    {
        *value = encoded;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::testing::plan;

    fn hosts(text: &str) -> FullNames {
        FullNames::of(&plan(text).objects)
    }

    const SERVICES: &str = "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 1}]}}\n---\n\
                            {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 1}]}}\n";

    #[rstest::rstest]
    #[case::url("http://db.default.svc.cluster.local:1/x", "http://db.e2e-1.svc.cluster.local:1/x")]
    #[case::short("db.default.svc", "db.e2e-1.svc")]
    #[case::pods("db-0.db.default.svc,db-1.db.default.svc:1", "db-0.db.e2e-1.svc,db-1.db.e2e-1.svc:1")]
    #[case::of_another_namespace(
        "web.shop.svc db.shop.svc web.default.svc",
        "web.e2e-1.svc db.shop.svc web.default.svc"
    )]
    #[case::of_the_cluster("kube-dns.kube-system.svc", "kube-dns.kube-system.svc")]
    #[case::the_end_of_a_name("my-db.default.svc", "my-db.default.svc")]
    #[case::another_domain("db.default.svcs db.default.svc-x", "db.default.svcs db.default.svc-x")]
    fn names_lead_into_the_runs_namespace(#[case] text: &str, #[case] expected: &str) {
        let hosts = hosts(SERVICES);
        let encoded = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).expect("base64");
        let object = |text: &str| json!({ "kind": "ConfigMap", "data": { "a": [text, 1] } });
        let secret = |text: &str| json!({ "apiVersion": "v1", "kind": "Secret", "data": { "a": encoded(text), "b": "/w==" }, "stringData": { "c": text } });
        for (mut given, expected) in [(object(text), object(expected)), (secret(text), secret(expected))] {
            hosts.move_to("e2e-1", &mut given);
            assert_eq!(given, expected);
        }
    }

    #[test]
    fn without_services_nothing_moves() {
        let mut object = json!({ "a": "db.default.svc" });
        FullNames::default().move_to("e2e-1", &mut object);
        assert_eq!(object, json!({ "a": "db.default.svc" }));
    }
}
