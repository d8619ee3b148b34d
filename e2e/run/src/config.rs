//! `.config/e2e.toml`: settings that manifests cannot express. Main type: [`Config`].

mod outside;
mod scenarios;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e_plan::manifests::Sources;
use e2e_report::{
    fault::FaultError,
    request::{Scenario, Thresholds},
};
use serde::Deserialize;

pub use self::{
    outside::{Outside, OutsideValue},
    scenarios::{InvalidScenario, RATE_MIN},
};
use crate::{gather::Meter, image::Recipes, provider::local::Programs};

/// Where a project's configuration stands unless told otherwise.
pub const CONFIG: &str = ".config/e2e.toml";

/// The whole file. Every key has a default, so an empty file is a valid one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where it was read, for messages.
    #[serde(skip)]
    pub file: PathBuf,
    /// Files and directories of the manifests, from the project's root: one, or a list of them; by default the first of
    /// [`MANIFESTS`] that is there.
    #[serde(deserialize_with = "one_or_many")]
    pub manifests: Option<Vec<PathBuf>>,
    /// A command that writes the manifests, instead of `manifests`: `["helm", "template", "deploy/chart"]`. It runs in the
    /// project's root.
    pub render: Vec<String>,
    /// Directory of the snapshots, from the project's root; by default nothing is compared.
    pub snapshots: Option<PathBuf>,
    /// Figures that the snapshots hold as bands, by the names that `history` prints; by default none.
    pub snapshot_figures: Vec<String>,
    /// The git ref that keeps the finished runs, such as `refs/e2e/history`; by default a file beside the runs does.
    pub history_ref: Option<String>,
    /// Name of the Service that clients use; by default the one that the manifests open to clients, see
    /// [`Plan::entrances`](e2e_plan::Plan::entrances).
    pub entrance: Option<String>,
    /// Time limit until the whole system is ready.
    #[serde(with = "e2e_plan::duration")]
    pub bring_up: Duration,
    /// Whether a run on k8s applies the objects of the manifests that belong to the whole cluster, and removes them in the end.
    pub cluster_scoped: bool,
    /// The command that runs the suites, in any language; by default the built-in checks. `{junit}` is the file that the runner
    /// must write, `{environment}` is `environment.json`. nextest needs a profile that writes `junit.xml`.
    pub suites: Vec<String>,
    /// The scenarios, by name.
    pub scenario: BTreeMap<String, Scenario>,
    /// Limits for figures of the whole run.
    pub thresholds: Thresholds,
    /// How a component is split into shards.
    pub shards: Option<Shards>,
    /// Bounded resources that components report about themselves.
    pub saturation: Vec<Meter>,
    /// Recipes for images that no registry has.
    pub images: Recipes,
    /// Programs that replace images on `--target local`, in addition to the built-in ones.
    pub local: Programs,
    /// Secrets that the manifests refer to but do not contain, by name and key.
    pub secret: Outside,
    /// ConfigMaps that the manifests refer to but do not contain, by name and key.
    pub config_map: Outside,
}

/// How a component is split into shards: pods that store a part of its data each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shards {
    /// The component.
    pub component: String,
    /// The overlay that makes `{n}` shards of it, from the project's root.
    pub overlay: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: CONFIG.into(),
            manifests: None,
            render: Vec::new(),
            snapshots: None,
            snapshot_figures: Vec::new(),
            history_ref: None,
            entrance: None,
            bring_up: Duration::from_secs(60),
            cluster_scoped: false,
            suites: Vec::new(),
            scenario: BTreeMap::new(),
            thresholds: Thresholds::default(),
            shards: None,
            saturation: Vec::new(),
            images: Recipes::default(),
            local: Programs::default(),
            secret: Outside::default(),
            config_map: Outside::default(),
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<PathBuf>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path or a list of paths")]
    enum Paths {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Paths::deserialize(deserializer).map(|paths| match paths {
        Paths::One(path) => Some(vec![path]),
        Paths::Many(paths) => Some(paths),
    })
}

/// A value that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {value}; {remedy}")]
pub struct Invalid {
    /// The key, in a scenario below the scenario's.
    key: String,
    value: String,
    remedy: String,
}

/// Why the configuration cannot be used. Each message names the file, the key and the remedy.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Error {
    #[error("cannot read {}: {source}; create it, an empty file is enough", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{place}: {message}; correct or remove it")]
    Malformed { place: String, message: String },
    #[error("{place}: {source}")]
    InvalidAt { place: String, source: Box<Self> },
    #[error("scenario.{name}: {source}")]
    Scenario { name: String, source: InvalidScenario },
    #[error("no scenario [scenario.{name}] in {}; declared: {declared}", file.display())]
    NoScenario { name: String, file: PathBuf, declared: String },
    /// Values of Secrets and ConfigMaps that are not there: a line each, which begins with its key, as `secret.db.password`.
    #[error("values are missing:\n  {}", .0.join("\n  "))]
    Outside(Vec<String>),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Error {
    /// A planned fault of a scenario that cannot be carried out.
    pub(crate) fn during(scenario: &str, FaultError { text, reason }: FaultError) -> Self {
        Self::Scenario { name: scenario.to_owned(), source: invalid("during", &format!("`{text}`"), &reason) }
    }
}

/// The usual places of manifests.
pub const MANIFESTS: [&str; 6] = ["manifests", "k8s", "kubernetes", "kubernetes-manifests", "deploy", "kustomize"];

impl Config {
    /// The sources of the manifests; `None` if they are not named, and not in a usual place.
    pub fn sources(&self, root: &Path) -> Option<Sources> {
        let usual = || MANIFESTS.into_iter().find(|name| root.join(name).is_dir()).map(|name| vec![name.into()]);
        let paths = match &self.manifests {
            Some(paths) => paths.clone(),
            None if self.render.is_empty() => usual()?,
            None => Vec::new(),
        };
        Some(Sources { paths, render: self.render.clone() })
    }

    /// Whether cargo-nextest runs the suites.
    pub(crate) fn needs_nextest(&self) -> bool {
        self.suites.starts_with(&["cargo".to_owned(), "nextest".to_owned()])
    }

    /// Reads and checks a file, which errors name as `shown`.
    pub fn read(path: &Path, shown: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: shown.to_owned(), source })?;
        Self::parse(&text, shown)
    }

    /// Reads and checks text; `file` is for errors.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let place = |at: usize| {
            let before = &text[..at.min(text.len())];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let column = before[line_start..].chars().count() + 1;
            format!("{}:{}:{column}", file.display(), before.matches('\n').count() + 1)
        };
        let mut config: Self = toml::from_str(text).map_err(|error| Error::Malformed {
            place: place(error.span().map_or(0, |span| span.start)),
            message: with_nearest(&error.message().replace('\n', ", ")),
        })?;
        file.clone_into(&mut config.file);
        config.check().map_err(|error| match &error {
            Error::Invalid(Invalid { key, .. }) => {
                Error::InvalidAt { place: place(position(text, key.split('.')).unwrap_or(0)), source: Box::new(error) }
            }
            Error::Scenario { name, source } => {
                let key = match source {
                    InvalidScenario::Key(Invalid { key, .. }) => key.as_str(),
                    InvalidScenario::Steps(_) => "steps",
                };
                let of_key = position(text, ["scenario", name].into_iter().chain(key.split('.')));
                let at = of_key.or_else(|| position(text, ["scenario", name])).unwrap_or(0);
                Error::InvalidAt { place: place(at), source: Box::new(error) }
            }
            _ => error,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        if self.bring_up.is_zero() {
            return Err(invalid("bring_up", &"0s", "it must be longer than zero"));
        }
        if self.manifests.as_ref().is_some_and(Vec::is_empty) && self.render.is_empty() {
            return Err(invalid("manifests", &"empty", "name a file or a directory, or remove the key"));
        }
        const OTHERS: [&str; 3] = ["refs/heads/", "refs/tags/", "refs/remotes/"];
        if let Some(name) = &self.history_ref
            && (!name.starts_with("refs/") || OTHERS.iter().any(|other| name.starts_with(other)))
        {
            let remedy = "name a separate ref, such as `refs/e2e/history`: each run becomes a commit of it";
            return Err(invalid("history_ref", &format!("`{name}`"), remedy));
        }
        if let Some(shards) = self.shards.as_ref().filter(|shards| !shards.overlay.contains("{n}")) {
            return Err(invalid("shards.overlay", &shards.overlay, "it must contain `{n}`, the number of shards"));
        }
        self.check_scenarios()
    }

    /// Rejects invalid scenarios.
    ///
    /// # Errors
    ///
    /// The first invalid scenario, with its error.
    pub fn check_scenarios(&self) -> Result<(), Error> {
        self.scenario.iter().try_for_each(|(name, scenario)| {
            scenarios::check(name, scenario).map_err(|source| Error::Scenario { name: name.clone(), source })
        })
    }

    /// A declared scenario.
    ///
    /// # Errors
    ///
    /// When the name is not declared.
    pub fn scenario(&self, name: &str) -> Result<&Scenario, Error> {
        self.scenario.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.scenario.keys().map(String::as_str).collect();
            let declared = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Error::NoScenario { name: name.to_owned(), file: self.file.clone(), declared }
        })
    }
}

/// The position of a key in a file; its path may lead through tables.
fn position<'a>(text: &str, path: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let (mut table, mut at) = (Some(document.get_ref()), None);
    for name in path {
        let (key, value) = table?.iter().find(|(key, _)| key.get_ref() == name)?;
        (at, table) = (Some(key.span().start), value.get_ref().as_table());
    }
    at
}

/// The message for an unknown key, with the nearest known one. Serde has both only in its text.
fn with_nearest(message: &str) -> String {
    let mut quoted = message.strip_prefix("unknown field ").unwrap_or_default().split('`').skip(1).step_by(2);
    let nearest = quoted.next().and_then(|unknown| e2e_plan::nearest(unknown, quoted));
    nearest.map_or_else(|| message.to_owned(), |known| format!("{message}; did you mean `{known}`"))
}

pub(crate) fn invalid<E: From<Invalid>>(key: &str, value: &dyn std::fmt::Display, remedy: &str) -> E {
    Invalid { key: key.to_owned(), value: value.to_string(), remedy: remedy.to_owned() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("e2e.toml")).map_err(|error| error.to_string())
    }

    #[rstest::rstest]
    #[case::usual("", Some(&["k8s"][..]))]
    #[case::named("manifests = 'deploy/app'", Some(&["deploy/app"][..]))]
    #[case::rendered("render = ['helm', 'template', '.']", Some(&[][..]))]
    fn where_the_manifests_are(#[case] text: &str, #[case] expected: Option<&[&str]>) {
        let project = tempfile::tempdir().expect("a directory");
        let config = parse(text).expect("a configuration");
        let paths = |config: &Config| config.sources(project.path()).map(|sources| sources.paths);
        if text.is_empty() {
            assert_eq!(paths(&config), None, "there is no usual place yet");
        }
        for name in ["kustomize", "k8s"] {
            std::fs::create_dir(project.path().join(name)).expect("a directory");
        }
        assert_eq!(paths(&config), expected.map(|paths| paths.iter().map(PathBuf::from).collect()));
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!((config.scenario.len(), config.entrance, config.snapshots), (0, None, None));
    }

    #[rstest::rstest]
    #[case::unknown_key(
        "[scenario.a]\nclients = 40\nclient = 3\n",
        "e2e.toml:3:1: unknown field `client`, expected one of `clients`, ",
        "; did you mean `clients`; correct or remove it"
    )]
    #[case::unknown_section(
        "[scenarios.a]\n",
        "e2e.toml:1:2: unknown field `scenarios`, ",
        "did you mean `scenario`; correct or remove it"
    )]
    #[case::unknown_step_key(
        "[scenario.a]\n[[scenario.a.steps]]\nname = 'x'\npath = '/'\nbodi = ''\n",
        "e2e.toml:5:1: unknown field `bodi`",
        "did you mean `body`; correct or remove it"
    )]
    #[case::unknown_line(
        "[scenario.a]\nthresholds = { latency_ms_p99_mx = 3 }\n",
        "e2e.toml:2:16: unknown field `latency_ms_p99_mx`, ",
        "did you mean `latency_ms_p99_max`; correct or remove it"
    )]
    #[case::without_a_name(
        "[scenario]\nclients = 40\n",
        "e2e.toml:2:11: invalid type: integer `40`, expected a table with the scenario's name, such as [scenario.checkout]",
        ""
    )]
    #[case::wrong_type(
        "[scenario.a]\nclients = 'x'\n",
        "e2e.toml:2:11: invalid type: string \"x\", expected u32; correct or remove it",
        ""
    )]
    #[case::a_branch(
        "history_ref = 'refs/heads/main'\n",
        "e2e.toml:1:1: history_ref is `refs/heads/main`; name a separate ref, such as `refs/e2e/history`",
        "each run becomes a commit of it"
    )]
    #[case::manifests("manifests = 3\n", "e2e.toml:1:13: expected a path or a list of paths; correct or remove it", "")]
    #[case::no_unit("bring_up = '60'\n", "e2e.toml:1:12: `60` is not a duration; write a number with a unit", "")]
    #[case::not_toml("\n[scenario\n", "e2e.toml:2:10: ", "")]
    #[case::no_clients(
        "[scenario.a]\n  clients = 0\n",
        "e2e.toml:2:3: scenario.a: clients is 0; it must be from 1 to 20000",
        ""
    )]
    #[case::no_time(
        "scenario.a = { timeout = '0s' }\n",
        "e2e.toml:1:16: scenario.a: timeout is 0s; it must be longer than zero",
        ""
    )]
    #[case::no_number_of_shards(
        "[shards]\ncomponent = 'db'\noverlay = 'two'\n",
        "e2e.toml:3:1: shards.overlay is two; it must contain `{n}`, the number of shards",
        ""
    )]
    #[case::no_file_name(
        "[scenario.'a/b']\n",
        "e2e.toml:1:11: scenario.a/b: its name is \"a/b\"; use letters, digits, spaces,",
        "with no `.` first"
    )]
    #[case::no_steps("\n[scenario.a]\n", "e2e.toml:2:11: scenario.a: there are no steps: add one", "")]
    fn a_mistake_is_named_with_its_place(#[case] text: &str, #[case] begins: &str, #[case] ends: &str) {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(begins) && error.ends_with(ends) && !error.contains('\n'), "{error}");
    }

    #[rstest::rstest]
    #[case::negative(
        "thresholds.rate_min = -1.0",
        "3:12: scenario.a: thresholds.rate_min is -1; it must be a number, 0 or more"
    )]
    #[case::percent(
        "thresholds.error_rate_max = 25",
        "3:12: scenario.a: thresholds.error_rate_max is 25; it is a share, from 0 to 1: write 0.25 for a quarter"
    )]
    #[case::no_outcome(
        "thresholds.client_failure_rate_max = 0",
        "3:12: scenario.a: thresholds.client_failure_rate_max is set; clients have an outcome only if a step is `once`"
    )]
    #[case::no_rate("ramp_to = 3", "3:1: scenario.a: ramp_to is set without `rate`; set `rate`, the rate at the start")]
    #[case::slow("rate = 0", "3:1: scenario.a: rate is 0; it must be a number of requests per second above 0")]
    fn a_scenario_that_makes_no_sense_is_named(#[case] line: &str, #[case] expected: &str) {
        let text = format!("\n[scenario.a]\n{line}\n[[scenario.a.steps]]\nname = 'x'\npath = '/'\n");
        assert_eq!(parse(&text).unwrap_err(), format!("e2e.toml:{expected}"));
    }

    proptest::proptest! {
        /// PROPTEST_CASES=100000 runs as many inputs.
        #[test]
        fn no_text_makes_it_panic(text in ".{0,200}", key in "[a-z_.]{0,30}", value in "[ -~]{0,40}") {
            let _ = Config::parse(&text, Path::new("e2e.toml"));
            let _ = Config::parse(&format!("[{key}]\n{key} = {value}\n"), Path::new("e2e.toml"));
            for section in ["scenario", "thresholds", "images", "local", "saturation"] {
                let _ = Config::parse(&format!("[{section}]\n{key} = {value}\n"), Path::new("e2e.toml"));
                let _ = Config::parse(&format!("[{section}.\"{key}\"]\ncargo = \"{key}\"\n{value}"), Path::new("e2e.toml"));
            }
        }
    }
}
