//! The tables of a configuration for Secrets and ConfigMaps that the manifests lack. Main function: [`tables`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use e2e_plan::Missing;

use super::quoted;

/// A table for each of them, with the keys that pods want: those whose keys nothing tells, as comments.
pub(super) fn tables(missing: &[Missing]) -> String {
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for Missing { kind, name, key, .. } in missing {
        wanted.entry((kind, name)).or_default().extend(key.as_deref());
    }
    let mut text = String::new();
    for ((kind, name), keys) in wanted {
        if text.is_empty() {
            text += "\n# What pods need and the manifests lack. A value comes from the variable of that name, or else from\n\
                     # { file = \"PATH\" }, { text = \"...\" } or { generate = true }.\n";
        }
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
    quoted(&words.join("_").replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_uppercase())
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
        let text = tables(&plan.missing);
        let expected = "\n# Pods take all keys of it.\n# [config_map.\"all.of\"]\n# KEY = { env = \"ALL_OF\" }\n\n[secret.\"db\"]\n\
                        \"pass-word\" = { env = \"DB_PASS_WORD\" }\n\"user\" = { env = \"DB_USER\" }\n";
        assert!(text.ends_with(expected), "{text}");
        let config = e2e_run::config::Config::parse(&text, Path::new("e2e.toml")).expect("a configuration");
        assert_eq!(config.secret["db"].len(), 2);
        assert_eq!(tables(&[]), "");
    }
}
