//! Secrets and ConfigMaps that a team keeps outside its manifests: where their values come from. Main type: [`Outside`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use e2e_plan::OutsideObject;
use serde::Deserialize;

use super::{Config, Error};

/// Values by name and key.
pub type Outside = BTreeMap<String, BTreeMap<String, OutsideValue>>;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutsideValue {
    /// An environment variable of this name.
    Env(String),
    /// A file, from the project's root.
    File(PathBuf),
    /// Made up for each run.
    Generate(bool),
    /// The value itself, for what is no secret.
    Text(String),
}

impl Config {
    /// Everything that is given from outside, with its values; `make` makes some up from names and keys.
    ///
    /// # Errors
    /// Variables are not set or files are not there: all of them.
    pub fn given(&self, root: &Path, make: &mut dyn FnMut(&str, &str) -> String) -> Result<Vec<OutsideObject>, Error> {
        let mut missing = Vec::new();
        let given = self.each_given(|table, name, key, value| {
            value.read(root, &mut || make(name, key)).unwrap_or_else(|reason| {
                missing.push(format!("{table}.{name}.{key}: {reason}"));
                Vec::new()
            })
        });
        if missing.is_empty() { Ok(given) } else { Err(Error::Outside(missing)) }
    }

    /// The same without values, for a plan that is not run.
    #[must_use]
    pub(crate) fn given_names(&self) -> Vec<OutsideObject> {
        self.each_given(|_, _, _, _| Vec::new())
    }

    fn each_given(&self, mut read: impl FnMut(&str, &str, &str, &OutsideValue) -> Vec<u8>) -> Vec<OutsideObject> {
        let mut all = Vec::new();
        for (table, kind, outside) in
            [("secret", "Secret", &self.secret), ("config_map", "ConfigMap", &self.config_map)]
        {
            for (name, keys) in outside {
                let values = keys.iter().map(|(key, value)| (key.clone(), read(table, name, key, value))).collect();
                all.push(OutsideObject { kind, name: name.clone(), file: self.file.clone(), values });
            }
        }
        all
    }
}

impl OutsideValue {
    fn read(&self, root: &Path, make: &mut dyn FnMut() -> String) -> Result<Vec<u8>, String> {
        match self {
            Self::Env(name) => match std::env::var_os(name) {
                Some(value) => Ok(value.into_encoded_bytes()),
                None => Err(format!("the environment variable {name} is not set; export it before the run")),
            },
            Self::File(path) => std::fs::read(root.join(path)).map_err(|error| {
                format!("{} cannot be read: {error}; correct the path, which starts at the root", path.display())
            }),
            Self::Generate(true) => Ok(make().into_bytes()),
            Self::Generate(false) => Err("`generate = false` says nothing; write true, or another source".to_owned()),
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_where_the_configuration_says() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("cert"), [0xff, 1]).unwrap();
        let text = "secret.db.password = { generate = true }\nsecret.tls.cert = { file = 'cert' }\n\
                    config_map.app.level = { text = 'info' }\n";
        let config = Config::parse(text, Path::new("e2e.toml")).unwrap();
        let given = config.given(root.path(), &mut |name, key| format!("made-up-{name}-{key}")).unwrap();
        let shown: Vec<_> = given.iter().map(|given| (given.kind, given.name.as_str(), &given.values[..])).collect();
        let value = |key: &str, bytes: &[u8]| (key.to_owned(), bytes.to_vec());
        assert_eq!(
            shown,
            [
                ("Secret", "db", &[value("password", b"made-up-db-password")][..]),
                ("Secret", "tls", &[value("cert", &[0xff, 1])]),
                ("ConfigMap", "app", &[value("level", b"info")]),
            ]
        );
        assert!(given.iter().all(|given| given.file == Path::new("e2e.toml")), "{given:?}");
        assert!(!format!("{given:?}").contains("made-up"), "{given:?}");
    }

    #[test]
    fn what_is_not_there_is_named_with_its_key() {
        let error = |text: &str| {
            let config = Config::parse(text, Path::new("e2e.toml")).unwrap();
            config.given(Path::new("/nowhere"), &mut |_, _| String::new()).unwrap_err().to_string()
        };
        assert_eq!(
            error("secret.db.password = { env = 'E2E_TEST_NOT_SET' }"),
            "values are missing:\n  secret.db.password: the environment variable E2E_TEST_NOT_SET is not set; export it before the run"
        );
        let message = error("secret.db.password = { file = 'x' }\nsecret.db.user = { env = 'E2E_TEST_NOT_SET' }");
        let lines: Vec<&str> = message.lines().collect();
        assert!(lines[1].starts_with("  secret.db.password: x cannot be read: "), "{message}");
        assert!(lines[2].starts_with("  secret.db.user: the environment variable"), "{message}");
    }
}
