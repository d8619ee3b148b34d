//! The tables of a configuration for Secrets and ConfigMaps that the manifests lack. Main function: [`tables`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use e2e_plan::{Missing, Plan, target::Target};

use super::quoted;

const LACKING: &str = "
# What pods need and the manifests lack. Each `env` names an environment variable to export before a run.
# Write { file = \"PATH\" }, { text = \"...\" } or { generate = true } in its place for another source.
";
const MADE: &str = "\n# Something in a cluster makes these; on docker and local they come from here.\n";

/// A table for each of them, with the keys that pods want. Those whose keys nothing tells, or that a cluster makes itself, are comments.
pub(super) fn tables(plan: &Plan) -> String {
    let (made, lacking): (Vec<&Missing>, _) =
        plan.missing.iter().partition(|missing| plan.is_made_in(missing, Target::K8s));
    let commented = |line: &str| match line.starts_with('#') || line.is_empty() {
        true => format!("{line}\n"),
        false => format!("# {line}\n"),
    };
    tables_of(&lacking, LACKING) + &tables_of(&made, MADE).lines().map(commented).collect::<String>()
}

fn tables_of(missing: &[&Missing], head: &str) -> String {
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for Missing { kind, name, key, .. } in missing {
        wanted.entry((kind, name)).or_default().extend(key.as_deref());
    }
    let mut text = if wanted.is_empty() { String::new() } else { head.to_owned() };
    for ((kind, name), keys) in wanted {
        let table = format!("[{}.{}]", if kind == "Secret" { "secret" } else { "config_map" }, quoted(name));
        // Writing to a String cannot fail.
        let _ = match keys.is_empty() {
            true => {
                writeln!(text, "\n# Pods take all keys of it.\n# {table}\n# KEY = {{ env = {} }}", variable(&[name]))
            }
            false => writeln!(text, "\n{table}"),
        };
        for key in keys {
            let _ = writeln!(text, "{} = {{ env = {} }}", quoted(key), variable(&[name, key]));
        }
    }
    text
}

/// The name of an environment variable, as TOML.
fn variable(words: &[&str]) -> String {
    let name = words.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_uppercase();
    // A shell's variable begins with no digit.
    let start = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    quoted(&format!("{start}{name}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use e2e_plan::{Manifest, Objects, Plan};

    use super::*;

    #[test]
    fn each_object_has_a_table_with_its_keys() {
        let env = |name: &str, key: &str| {
            format!("{{name: {key}, valueFrom: {{secretKeyRef: {{name: {name}, key: {key}}}}}}}")
        };
        let pod = |name: &str, env: &[String], more: &str| {
            let env = env.join(", ");
            format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: x, env: [{env}]{more}}}]}}}}\n"
            )
        };
        let text =
            pod("a", &[env("db", "user"), env("db", "pass-word")], ", envFrom: [{configMapRef: {name: all.of}}]")
                + &pod("b", &[env("db", "user")], "");
        let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text }])).expect("a plan");
        let text = tables(&plan);
        let expected = "\n# Pods take all keys of it.\n# [config_map.\"all.of\"]\n# KEY = { env = \"ALL_OF\" }\n\n[secret.\"db\"]\n\
                        \"pass-word\" = { env = \"DB_PASS_WORD\" }\n\"user\" = { env = \"DB_USER\" }\n";
        assert!(text.ends_with(expected), "{text}");
        let config = e2e_run::config::Config::parse(&text, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!(config.secret["db"].len(), 2);
    }

    #[test]
    fn what_a_cluster_makes_is_a_comment() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: x, env: \
                    [{name: A, valueFrom: {secretKeyRef: {name: 1db, key: user}}}]}]}}\n---\n\
                    {apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: 1db}, spec: {target: {name: 1db}}}\n";
        let plan = Plan::of(Objects::read(&[Manifest { file: "app.yaml".into(), text: text.to_owned() }]));
        let expected = format!("{MADE}\n# [secret.\"1db\"]\n# \"user\" = {{ env = \"_1DB_USER\" }}\n");
        assert_eq!(tables(&plan.expect("a plan")), expected);
    }
}
