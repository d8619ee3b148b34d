//! Other commands in place of a probe's, which succeed if a cause is right. A part of [`Bench`]. Main type: [`Variant`].

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
    shell::{base, is_shell, script_at},
};

use super::{
    super::{
        lab::PROBE,
        script::{Meant, OF_BASH, as_meant, ports, programs, script_in, sees_refusals, simple_commands, with_number},
    },
    Bench, CLOSED, Runtime, as_command, could_not_start, written,
};

/// The maximum number of ports to try in place of one.
const OTHER_PORTS: usize = 3;

/// Clients that need the answer of their server: a mere connection does not make a port the right one.
const CLIENTS: [&str; 13] = [
    "curl",
    "etcdctl",
    "grpc_health_probe",
    "grpc-health-probe",
    "mariadb-admin",
    "mongosh",
    "mysql",
    "mysqladmin",
    "pg_isready",
    "psql",
    "redis-cli",
    "valkey-cli",
    "wget",
];

/// Clients with the variables that say where and as whom they sign in, and those from which they take their credentials, both from the
/// variables that images of the server are configured with.
const CREDENTIALS: [(&[&str], &str, &str); 4] = [
    (&["redis-cli", "valkey-cli"], "", "REDISCLI_AUTH=\"${REDIS_PASSWORD:-$VALKEY_PASSWORD}\""),
    (
        &["mysql", "mysqladmin", "mariadb", "mariadb-admin"],
        "",
        "MYSQL_PWD=\"${MYSQL_ROOT_PASSWORD:-${MARIADB_ROOT_PASSWORD:-${MYSQL_PASSWORD:-$MARIADB_PASSWORD}}}\"",
    ),
    (
        &["psql"],
        "PGUSER=\"${POSTGRES_USER:-postgres}\" PGDATABASE=\"${POSTGRES_DB:-postgres}\"",
        "PGPASSWORD=\"${POSTGRES_PASSWORD:-$POSTGRESQL_PASSWORD}\"",
    ),
    (&["etcdctl"], "", "ETCDCTL_USER=\"root:$ETCD_ROOT_PASSWORD\""),
];

/// Another command, which succeeds if the cause is right.
pub(super) struct Variant {
    pub(super) change: String,
    pub(super) command: Vec<String>,
    /// The same without what the cause says is missing: if it succeeds too, the cause is another one.
    pub(super) without: Option<Vec<String>>,
    /// Commands that end the same if the cause is right.
    pub(super) alike: Vec<[Vec<String>; 2]>,
    pub(super) cause: Cause,
    pub(super) flip: Flip,
    pub(super) explanation: String,
}

impl<R: Runtime> Bench<'_, R> {
    /// Another command in place of the probe's.
    pub(super) fn variant(&self, command: Vec<String>, cause: Cause, explanation: String) -> Variant {
        Variant {
            change: as_command(&command),
            flip: Flip::new(Axis::Command, written(self.command), written(&command)),
            command,
            without: None,
            alike: Vec::new(),
            cause,
            explanation,
        }
    }

    /// What the author may have meant, and what the command may lack; the least intrusive first.
    pub(super) fn variants(&self, first: &Observation, has_shell: bool) -> Vec<Variant> {
        let mut variants = self.for_a_shell();
        let program = self.command[0].as_str();
        if could_not_start(first) && is_shell(program) && program != "sh" && !has_shell {
            variants.push(self.variant(
                with_shell(self.command, "sh"),
                Cause::CommandNotFound,
                format!("the container lacks {program} and has sh"),
            ));
        }
        if first.kind == Kind::Exited {
            if let Some(Credentials { client, with, without }) = with_credentials(self.command) {
                let text =
                    format!("{client} gives no credentials, and succeeds with those of the container's variables");
                variants.push(Variant { without, ..self.variant(with, Cause::MissingCredentials, text) });
            }
            variants.extend(self.other_ports());
        }
        variants
    }

    /// The command with a shell, or with the one that it is written for.
    fn for_a_shell(&self) -> Vec<Variant> {
        let text = "the command is written for a shell, while a kubelet starts the first item as the program, with the others as arguments";
        let meant = as_meant(self.command).into_iter().map(|Meant { command, without }| Variant {
            without,
            ..self.variant(command, Cause::CommandWithoutShell, text.to_owned())
        });
        let is_for_bash = script_at(self.command).is_some_and(|at| is_for_bash(&self.command[at]));
        let shell = self.command[0].as_str();
        let with_bash = (is_for_bash && matches!(base(shell), "sh" | "ash" | "dash")).then(|| {
            let text = format!("the script is written for bash, but {shell} runs it; the container has bash");
            self.variant(with_shell(self.command, "bash"), Cause::CommandWithoutShell, text)
        });
        meant.chain(with_bash).collect()
    }

    /// The command with a port of the pod in place of one that is none. If only the port is wrong, nothing listens there, and the command
    /// fails with a closed port as it does now.
    fn other_ports(&self) -> Vec<Variant> {
        let (own, named) = (self.ports(), ports(self.command));
        let asks = programs(self.command).iter().any(|program| is_client(program));
        // One that names a port of the pod asks the right one.
        if !asks || !sees_refusals(self.command) || named.iter().any(|port| own.contains(port)) {
            return Vec::new();
        }
        let of_others = &self.case.known.ports_of_others;
        let own: Vec<u16> = own.into_iter().filter(|port| !of_others.contains(port)).take(OTHER_PORTS).collect();
        let pairs = named.into_iter().flat_map(|from| own.iter().map(move |to| (from, *to)));
        let variant = |(from, to): (u16, u16)| {
            let with = |command: &[String], to| command.iter().map(|word| with_number(word, from, to)).collect();
            let closed = |command: Vec<String>| [with(&command, CLOSED), command];
            Variant {
                change: format!("the command with port {to} in place of {from}"),
                command: with(self.command, to),
                without: None,
                alike: [self.command.to_vec()].into_iter().chain(client_alone(self.command)).map(closed).collect(),
                cause: Cause::WrongPort,
                flip: Flip::new(Axis::Port, from.to_string(), to.to_string()),
                explanation: format!("the command fails with port {from} and succeeds with port {to}"),
            }
        };
        pairs.map(variant).collect()
    }

    /// Whether the commands of each pair end the same, but for numbers in what they say.
    pub(super) async fn are_alike(&mut self, pairs: &[[Vec<String>; 2]]) -> bool {
        for pair in pairs {
            let mut ends = Vec::new();
            for command in pair {
                let change = if command == self.command { PROBE.to_owned() } else { as_command(command) };
                let end = self.run_in_time(&change, command.clone()).await;
                ends.push((end.kind, end.exit_code, end.message.replace(|c: char| c.is_ascii_digit(), "")));
            }
            if ends[0] != ends[1] {
                return false;
            }
        }
        true
    }
}

/// Signs of bash in a script that sh does not know, beside its words.
const SIGNS_OF_BASH: [&str; 7] = ["((", "<<<", "=(", "<(", "&>", "/dev/tcp/", "pipefail"];

fn is_for_bash(script: &str) -> bool {
    SIGNS_OF_BASH.iter().any(|sign| script.contains(sign))
        || script.split_whitespace().any(|word| OF_BASH.contains(&word))
}

/// The command with another shell.
fn with_shell(command: &[String], shell: &str) -> Vec<String> {
    [&[shell.to_owned()], &command[1..]].concat()
}

fn is_client(program: &str) -> bool {
    CLIENTS.contains(&base(program))
}

/// The client of a script alone: what reads its output hides how it ends.
fn client_alone(command: &[String]) -> Option<Vec<String>> {
    let at = script_in(command)?;
    let with = |script: &str| [&command[..at], &[script.to_owned()], &command[at + 1..]].concat();
    let mut alone = simple_commands(&command[at]).into_iter().map(with);
    alone.find(|alone| programs(alone).iter().any(|program| is_client(program)))
}

/// The command with the credentials of the container's variables, and the client that takes them.
fn with_credentials(command: &[String]) -> Option<Credentials> {
    let programs = programs(command);
    let (client, place, secrets) = CREDENTIALS.iter().find_map(|(clients, place, secrets)| {
        let client = programs.iter().find(|program| clients.contains(&base(program)))?;
        Some((client.clone(), *place, *secrets))
    })?;
    let without = Some(place).filter(|place| !place.is_empty()).map(|place| exporting(command, place));
    Some(Credentials { client, with: exporting(command, format!("{secrets} {place}").trim()), without })
}

/// A client and its command, with its credentials, and with all but these if there is more that it may lack.
struct Credentials {
    client: String,
    with: Vec<String>,
    without: Option<Vec<String>>,
}

/// The command with more variables.
fn exporting(command: &[String], variables: &str) -> Vec<String> {
    match script_at(command) {
        Some(at) => {
            let mut with = command.to_vec();
            with[at] = format!("export {variables}; {}", with[at]);
            with
        }
        None => {
            let start = ["sh".to_owned(), "-c".to_owned(), format!("export {variables}; exec \"$0\" \"$@\"")];
            [&start, command].concat()
        }
    }
}
