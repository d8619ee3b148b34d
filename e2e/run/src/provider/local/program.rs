//! The local programs that replace images, as data. Main types: [`Programs`], [`Program`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use e2e_plan::{ImageName, programs, shell};
use e2e_report::env_vars;
use serde::Deserialize;

/// Programs by image: `name:tag`, or `name` for every tag. Each has what it takes from the one that it is `like`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Program>")]
pub struct Programs(BTreeMap<String, Program>);

/// The local program that replaces an image.
///
/// In `run`, `env`, `clients` and `rewrite`, `{port:N}` is the local port that replaces container port N, declared or not, `{work}` is
/// a private directory of the process, `{path:/P}` what replaces the container's path `/P`, and `{image}` the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Program {
    /// The image whose program has the keys that are not set here; variables are those of both.
    pub like: Option<String>,
    /// Where the program runs, below the project's root; the private directory of its container unless set.
    pub directory: Option<PathBuf>,
    /// A workspace package whose static binary replaces the image's entrypoint and the container's command; its args follow.
    pub cargo: Option<String>,
    /// Program and first arguments that replace the image's entrypoint and the container's command; its args follow. Without them the
    /// container's command runs.
    pub run: Vec<String>,
    /// A shell script that replaces the image's entrypoint; the container's args are its arguments, and its command if that is a server of
    /// `commands`, or none are named.
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
    /// Programs in a container's command that run as they are, in place of `run`. Of a script the names of its server: another program
    /// runs as it is, and finds the script under these names.
    pub commands: Vec<String>,
    /// Programs that exec probes and hooks call, with the first arguments that lead each to the local port.
    pub clients: BTreeMap<String, Vec<String>>,
    /// Arguments of clients behind which a container port stands; the local port takes its place.
    pub port_flags: Vec<String>,
    /// What differs from the image, said before the run.
    pub differs: Option<String>,
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
    #[error(
        "[local.\"{image}\"] in .config/e2e.toml names no program, and the container {container} has no command; set `run`, `script` or \
         `cargo`"
    )]
    NoProgram { image: String, container: String },
    #[error("`directory` of [local.\"{image}\"] in .config/e2e.toml: {} is no directory", path.display())]
    Directory { image: String, path: PathBuf },
    #[error("{} not found for the image {image} (searched ${variable}, PATH{searched}){install}", binaries.join(", "))]
    Missing { image: String, binaries: Vec<String>, variable: String, searched: String, install: String },
    #[error("apt-get could not install {packages} for the image {image}: {reason}")]
    Install { image: String, packages: String, reason: String },
}

/// The entrypoint of official images, which starts a server or another program.
pub(super) const ENTRYPOINT: &str = "docker-entrypoint.sh";

/// The built-in scripts.
const BUILTIN: [(&str, &str); 9] = [
    ("curl", include_str!("builtin/curl.sh")),
    ("mariadb", include_str!("builtin/mariadb.sh")),
    ("memcached", include_str!("builtin/memcached.sh")),
    ("nats", include_str!("builtin/nats.sh")),
    ("nginx", include_str!("builtin/nginx.sh")),
    ("postgres", include_str!("builtin/postgres.sh")),
    ("rabbitmq", include_str!("builtin/rabbitmq.sh")),
    ("redis", include_str!("builtin/redis.sh")),
    ("tools", include_str!("builtin/tools.sh")),
];

impl TryFrom<BTreeMap<String, Program>> for Programs {
    type Error = String;

    fn try_from(written: BTreeMap<String, Program>) -> Result<Self, String> {
        Self::complete(&written, &Self::builtin())
    }
}

impl Programs {
    /// The built-in programs for official images.
    pub(crate) fn builtin() -> Self {
        let written = toml::from_str(include_str!("builtin/programs.toml")).map_err(|error| error.to_string());
        // The file is part of the build and a test reads it.
        written.and_then(|written| Self::complete(&written, &Self::default())).expect("builtin/programs.toml is valid")
    }

    /// Entries with what each takes from the one that it is `like`: another one of them, else one of `others`.
    fn complete(written: &BTreeMap<String, Program>, others: &Self) -> Result<Self, String> {
        let complete = |(image, program): (&String, &Program)| {
            let (mut program, mut followed) = (program.clone(), vec![image]);
            while let Some(like) = program.like.take() {
                let base = match written.get_key_value(&like).filter(|(image, _)| !followed.contains(image)) {
                    Some((image, base)) => {
                        followed.push(image);
                        Some(base)
                    }
                    None => others.for_image(&like),
                };
                let base = base.ok_or_else(|| format!("`{image}` is like `{like}`, which has no other program"))?;
                program = program.over(base.clone());
            }
            Ok((image.clone(), program))
        };
        written.iter().map(complete).collect::<Result<_, _>>().map(Self)
    }

    /// Merges with `others`; these entries win.
    pub fn over(&self, others: Self) -> Self {
        let mut all = others.0;
        all.extend(self.0.clone());
        Self(all)
    }

    /// The program that replaces an image.
    pub(crate) fn for_image(&self, image: &str) -> Option<&Program> {
        // `docker.io/library/postgres:15` and `postgres:15` are `postgres`.
        let name = ImageName::new(image).name;
        let short = name.strip_prefix("docker.io/").unwrap_or(name);
        self.0
            .get(image)
            .or_else(|| self.0.get(name))
            .or_else(|| self.0.get(short.strip_prefix("library/").unwrap_or(short)))
    }
}

impl Program {
    /// This program with what `base` has of the keys that are not set here.
    fn over(self, base: Self) -> Self {
        fn or<T: Default + PartialEq>(own: T, base: T) -> T {
            if own == T::default() { base } else { own }
        }
        // One of them says how the program starts.
        let (cargo, run, script) = or((self.cargo, self.run, self.script), (base.cargo, base.run, base.script));
        Self {
            like: base.like,
            directory: or(self.directory, base.directory),
            cargo,
            run,
            script,
            binaries: or(self.binaries, base.binaries),
            search: or(self.search, base.search),
            apt: or(self.apt, base.apt),
            env: base.env.into_iter().chain(self.env).collect(),
            rewrite: or(self.rewrite, base.rewrite),
            stop_signal: or(self.stop_signal, base.stop_signal),
            commands: or(self.commands, base.commands),
            clients: or(self.clients, base.clients),
            port_flags: or(self.port_flags, base.port_flags),
            differs: or(self.differs, base.differs),
        }
    }

    /// The script's text, built-in or a file of the project.
    pub(super) fn script_text(&self, root: &Path) -> std::io::Result<Option<String>> {
        let Some(script) = self.script.as_deref() else { return Ok(None) };
        match BUILTIN.iter().find(|(name, _)| script.strip_prefix("builtin:") == Some(name)) {
            Some((_, text)) => Ok(Some((*text).to_owned())),
            None => std::fs::read_to_string(root.join(script)).map(Some),
        }
    }

    /// Where the program runs, if it says so.
    pub(super) fn working_directory(&self, root: &Path, image: &str) -> Result<Option<PathBuf>, Error> {
        let Some(directory) = &self.directory else { return Ok(None) };
        match root.join(directory).canonicalize() {
            Ok(path) if path.is_dir() => Ok(Some(path)),
            _ => Err(Error::Directory { image: image.to_owned(), path: directory.clone() }),
        }
    }

    /// Whether a container's own words run and nothing replaces them. Of a script that names its servers, all others do, as an image's
    /// entrypoint does it: it takes options and configurations for the server.
    pub(super) fn leaves(&self, command: &[String], args: &[String]) -> bool {
        if self.cargo.is_some() {
            return false;
        }
        if self.script.is_none() {
            return command.first().is_some_and(|first| self.run.is_empty() || self.commands.contains(first));
        }
        let is_argument = |first: &String| first.is_empty() || first.starts_with('-') || first.ends_with(".conf");
        let first = command.first().or_else(|| args.first().filter(|first| !is_argument(first)));
        !self.commands.is_empty() && first.is_some_and(|first| self.server(first).is_none())
    }

    /// The server of the script that a word is, wherever the image has it.
    pub(super) fn server(&self, word: &str) -> Option<&String> {
        self.commands.iter().find(|server| shell::base(server) == shell::base(word))
    }

    /// The names under which others start the script.
    pub(super) fn servers(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(|server| shell::base(server)).chain([ENTRYPOINT])
    }

    /// Whether something runs in a container: a program, or its own command.
    pub(super) fn runs(&self, command: &[String]) -> bool {
        self.cargo.is_some() || self.script.is_some() || !self.run.is_empty() || !command.is_empty()
    }

    /// Container ports that the program has beside those of the manifest.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.named("port:").filter_map(|port| port.parse().ok())
    }

    /// Paths of the container that the program looks at.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.named("path:")
    }

    /// What templates name behind `{kind`.
    fn named(&self, kind: &'static str) -> impl Iterator<Item = &str> {
        let templates = self.run.iter().chain(self.env.values()).chain(self.clients.values().flatten());
        let parts = templates.flat_map(|template| template.split('{').skip(1));
        parts.filter_map(move |part| part.strip_prefix(kind)?.split_once('}').map(|(name, _)| name))
    }

    /// The directories of the binaries, or the missing ones.
    pub(super) fn find(&self, image: &str) -> Result<Vec<PathBuf>, Error> {
        let variable = bin_variable(image);
        let mut directories: Vec<PathBuf> = std::env::var_os(&variable).map(PathBuf::from).into_iter().collect();
        directories.extend(programs::path());
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
        for image in ["postgres:15", "docker.io/library/redis:7-alpine", "nginx", "docker.io/valkey/valkey:8"] {
            assert!(builtin.for_image(image).is_some(), "{image}");
        }
        for (image, program) in &builtin.0 {
            assert!(program.script_text(Path::new("/")).unwrap().is_some(), "{image}");
        }
        assert_eq!(builtin.for_image("mongo:7"), None);
        let error = Error::Unknown { images: vec!["mongo:7".into(), "app".into()] }.to_string();
        let expected = "no local program for mongo:7, app; declare one for each in .config/e2e.toml, such as [local.\"mongo:7\"], or use \
                        --target docker";
        assert_eq!(error, expected);
    }

    #[rstest::rstest]
    #[case::no_words("redis:7", "", "", false)]
    #[case::arguments("redis:7", "", "--save", false)]
    #[case::the_server("redis:7", "redis-server", "", false)]
    #[case::the_server_by_its_path("redis:7", "/usr/local/bin/redis-server", "", false)]
    #[case::another_server_of_the_entrypoint("redis:7", "", "redis-server", false)]
    #[case::a_client("redis:7", "redis-cli", "", true)]
    #[case::a_shell("redis:7", "sh", "", true)]
    #[case::a_shell_of_the_entrypoint("redis:7", "", "sh", true)]
    #[case::the_entrypoint("redis:7", "docker-entrypoint.sh", "", true)]
    #[case::a_client_of_the_entrypoint("redis:7", "", "redis-cli", true)]
    #[case::a_configuration("redis:7", "", "/etc/redis.conf", false)]
    #[case::a_tool("busybox:1", "sh", "", false)]
    fn what_runs_as_it_is(#[case] image: &str, #[case] command: &str, #[case] args: &str, #[case] expected: bool) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let builtin = Programs::builtin();
        assert_eq!(builtin.for_image(image).unwrap().leaves(&words(command), &words(args)), expected);
    }

    #[test]
    fn the_project_s_own_program_wins() {
        let own: Programs = toml::from_str("[redis]\nrun = ['valkey-server']\n").unwrap();
        assert_eq!(own.over(Programs::builtin()).for_image("redis:7").unwrap().run, ["valkey-server"]);
    }

    #[test]
    fn a_program_takes_what_it_leaves_out_from_the_one_that_it_is_like() {
        let text = "[postgres]\nlike = 'postgres'\nenv = { PGHOST = '::1' }\n['team/db']\nlike = 'postgres'\nsearch = ['/opt']\n\
                    [mine]\nlike = 'mysql:8'\nrun = ['mine']\n";
        let (own, builtin) = (toml::from_str::<Programs>(text).unwrap(), Programs::builtin());
        let [postgres, team, mine] = ["postgres:15", "team/db:2", "mine"].map(|image| own.for_image(image).unwrap());
        let official = builtin.for_image("postgres").unwrap();
        assert_eq!((postgres.env["PGHOST"].as_str(), &postgres.env["E2E_PORT"]), ("::1", &official.env["E2E_PORT"]));
        assert_eq!(
            (&team.env["PGHOST"], &team.search[..], &team.apt),
            (&"::1".to_owned(), &["/opt".to_owned()][..], &official.apt)
        );
        assert_eq!(
            (mine.script.as_deref(), &mine.run[..]),
            (None, &["mine".to_owned()][..]),
            "it starts in a way of its own"
        );
        let (mysql, mariadb) = (builtin.for_image("mysql").unwrap(), builtin.for_image("mariadb").unwrap());
        assert_eq!((&mine.differs, &mysql.env, &mysql.script), (&mysql.differs, &mariadb.env, &mariadb.script));
        for text in ["[a]\nlike = 'postgress'\n", "[a]\nlike = 'a'\n", "[a]\nlike = 'b'\n[b]\nlike = 'a'\n"] {
            let error = toml::from_str::<Programs>(text).unwrap_err().to_string();
            assert!(error.contains("which has no other program"), "{error}");
        }
    }

    #[test]
    fn templates_tell_ports_and_paths() {
        let program: Program = toml::from_str(
            "run = ['x', '{port:1}:{work}:{path:/a/b}']\nenv = { A = '{path:/c}{port:2}' }\nclients = { c = ['-p{port:3}'] }\n",
        )
        .unwrap();
        assert_eq!(program.ports().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(program.paths().collect::<Vec<_>>(), ["/a/b", "/c"]);
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
