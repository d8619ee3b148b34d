//! The local programs that replace images, as data. Main types: [`Programs`], [`Program`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use e2e_plan::ImageName;
use e2e_report::env_vars;
use serde::Deserialize;

/// Programs by image: `name:tag`, or `name` for every tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Programs(BTreeMap<String, Program>);

/// The local program that replaces an image.
///
/// In `run`, `env` and `rewrite`, `{port:N}` is the local port that replaces container port N, and `{work}` is a private directory
/// of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Program {
    /// A workspace package whose static binary replaces the image's entrypoint and the container's command; its args follow.
    pub cargo: Option<String>,
    /// Program and first arguments that replace the image's entrypoint and the container's command; its args follow.
    pub run: Vec<String>,
    /// A shell script that replaces the image's entrypoint; the container's command and args are its arguments.
    pub script: Option<String>,
    /// Required programs.
    pub binaries: Vec<String>,
    /// Directories to search after `PATH`. One `*` matches any name; the last match in alphabetical order wins.
    pub search: Vec<String>,
    /// Debian packages with the binaries.
    pub apt: Vec<String>,
    /// Environment variables that override those of the manifest.
    pub env: BTreeMap<String, String>,
    /// Text replaced in mounted files, for each declared container port.
    pub rewrite: Vec<Rewrite>,
    /// The signal that asks the program to stop; SIGTERM unless set.
    pub stop_signal: Option<StopSignal>,
}

/// A replacement in mounted files, applied for each declared port as `{container_port}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The text to find.
    pub find: String,
    /// The replacement.
    pub replace: String,
}

/// Signals that stop programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum StopSignal {
    /// Fast shutdown.
    #[serde(rename = "SIGINT")]
    Interrupt,
    /// Graceful shutdown.
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// The default.
    #[serde(rename = "SIGTERM")]
    Terminate,
}

/// An image without a local program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no local program for {}; declare one for each in .config/e2e.toml, such as [local.\"{}\"], or use --target docker",
        images.join(", "),
        images.first().map_or("", String::as_str)
    )]
    Unknown { images: Vec<String> },
    #[error("{} not found for the image {image} (searched ${variable}, PATH{searched}){install}", binaries.join(", "))]
    Missing { image: String, binaries: Vec<String>, variable: String, searched: String, install: String },
    #[error("apt-get could not install {packages} for the image {image}: {reason}")]
    Install { image: String, packages: String, reason: String },
}

impl Programs {
    /// The built-in programs for the official postgres, redis and nginx images.
    pub fn builtin() -> Self {
        // The file is part of the build and a test reads it.
        toml::from_str(include_str!("builtin/programs.toml")).expect("builtin/programs.toml is valid")
    }

    /// Merges with `others`; these entries win.
    pub fn over(&self, others: Self) -> Self {
        let mut all = others.0;
        all.extend(self.0.clone());
        Self(all)
    }

    /// The program that replaces an image.
    pub fn for_image(&self, image: &str) -> Option<&Program> {
        // `docker.io/library/postgres:15` and `postgres:15` are `postgres`.
        let name = ImageName::new(image).name;
        self.0.get(image).or_else(|| self.0.get(name.strip_prefix("docker.io/library/").unwrap_or(name)))
    }
}

impl Program {
    /// The script's text, built-in or a file of the project.
    pub(super) fn script_text(&self, root: &Path) -> std::io::Result<Option<String>> {
        Ok(match self.script.as_deref() {
            None => None,
            Some("builtin:postgres") => Some(include_str!("builtin/postgres.sh").to_owned()),
            Some("builtin:redis") => Some(include_str!("builtin/redis.sh").to_owned()),
            Some("builtin:nginx") => Some(include_str!("builtin/nginx.sh").to_owned()),
            Some(path) => Some(std::fs::read_to_string(root.join(path))?),
        })
    }

    /// The directories of the binaries, or the missing ones.
    pub(super) fn find(&self, image: &str) -> Result<Vec<PathBuf>, Error> {
        let variable = bin_variable(image);
        let mut directories: Vec<PathBuf> = std::env::var_os(&variable).map(PathBuf::from).into_iter().collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        directories.extend(std::env::split_paths(&path));
        directories.extend(self.search.iter().flat_map(|pattern| expand(pattern)));
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for binary in &self.binaries {
            // All binaries of one program come from the first directory that has them all, if there is one.
            match directories.iter().find(|directory| directory.join(binary).is_file()) {
                Some(directory) if !found.contains(directory) => found.push(directory.clone()),
                Some(_) => {}
                None => missing.push(binary.clone()),
            }
        }
        if let Some(whole) =
            directories.iter().find(|directory| self.binaries.iter().all(|binary| directory.join(binary).is_file()))
        {
            return Ok(vec![whole.clone()]);
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let searched = self.search.iter().map(|directory| format!(", {directory}")).collect();
        let install = if self.apt.is_empty() {
            String::new()
        } else {
            format!("; install them with: apt-get install --no-install-recommends {}", self.apt.join(" "))
        };
        Err(Error::Missing { image: image.to_owned(), binaries: missing, variable, searched, install })
    }
}

/// `postgres:15` is looked up in `E2E_POSTGRES_BIN`.
fn bin_variable(image: &str) -> String {
    let name = ImageName::new(image).last();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{}{name}_BIN", env_vars::E2E_BIN_PREFIX)
}

/// Directories that match a pattern, in descending order, so that the newest version wins.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    // `/usr/pgsql-*/bin`: the parent is /usr, and names begin with `pgsql-`.
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let (suffix, rest) = after.split_once('/').unwrap_or((after, ""));
    let matches =
        |name: &str| name.len() >= prefix.len() + suffix.len() && name.starts_with(prefix) && name.ends_with(suffix);
    let mut found: Vec<PathBuf> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(matches))
        .map(|entry| entry.path().join(rest))
        .collect();
    found.sort();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_programs_are_readable_and_found_by_any_tag() {
        let builtin = Programs::builtin();
        for image in ["postgres:15", "docker.io/library/redis:7-alpine", "nginx"] {
            let program = builtin.for_image(image).unwrap();
            assert!(program.script_text(Path::new("/")).unwrap().is_some(), "{image}");
        }
        assert_eq!(builtin.for_image("mongo:7"), None);
        let error = Error::Unknown { images: vec!["mongo:7".into(), "app".into()] }.to_string();
        let expected = "no local program for mongo:7, app; declare one for each in .config/e2e.toml, such as [local.\"mongo:7\"], or use \
                        --target docker";
        assert_eq!(error, expected);
    }

    #[test]
    fn the_project_s_own_program_wins() {
        let own: Programs = toml::from_str("[redis]\nrun = ['valkey-server']\n").unwrap();
        assert_eq!(own.over(Programs::builtin()).for_image("redis:7").unwrap().run, ["valkey-server"]);
    }

    #[test]
    fn a_star_stands_for_part_of_a_name() {
        let directory = tempfile::tempdir().unwrap();
        for version in ["pgsql-14", "pgsql-15", "mysql-8"] {
            std::fs::create_dir_all(directory.path().join(version).join("bin")).unwrap();
        }
        let pattern = format!("{}/pgsql-*/bin", directory.path().display());
        let expected = ["pgsql-15/bin", "pgsql-14/bin"].map(|path| directory.path().join(path));
        assert_eq!(expand(&pattern), expected);
    }

    #[test]
    fn missing_binaries_are_named_with_the_remedy() {
        let program =
            Program { binaries: vec!["no-such-binary".into()], apt: vec!["thing".into()], ..Program::default() };
        let error = program.find("team/thing-db:1").unwrap_err().to_string();
        assert!(
            error.contains("no-such-binary") && error.contains("E2E_THING_DB_BIN") && error.contains("apt-get install")
        );
    }
}
