//! What a command lacks in its container: a shell, a program, an interpreter, the right to execute a file. A part of [`Bench`].

use e2e_kubelet::{
    diagnosis::Cause,
    observation::{Kind, Observation},
    shell::{is_shell, script_at},
};

use super::{
    super::script::{chooses, is_simple},
    Bench, FLIPS, Found, Runtime, Seen, could_not_start, programs,
};

/// A name that no program has.
const ABSENT: &str = "no-image-has-this-program";
/// A file of every container, which is no program: the container runtime mounts it.
const FILE: &str = "/etc/hosts";
/// Whether a program can be found, or is there, if not executable, where its name says so.
const LOOK: &str = "case $0 in */*) test -e \"$0\";; *) command -v \"$0\" > /dev/null;; esac";
/// Whether a file's first line names an interpreter, in a shell's own words: the container may have no other program.
const NAMES_INTERPRETER: &str = "read -r line < \"$0\"; case $line in '#!'*) ;; *) exit 1;; esac";

/// Whether the interpreter that a file's first line names is there.
const HAS_INTERPRETER: &str = "read -r line < \"$0\"; set -- ${line#'#!'}; case $1 in */env) [ \"$2\" = -S ] && shift; \
                               command -v \"$2\" > /dev/null;; *) test -x \"$1\";; esac";

impl<R: Runtime> Bench<'_, R> {
    /// A script that cannot be executed may lack the right, the line that names its interpreter, or the interpreter. A shell may run it all
    /// the same.
    pub(super) async fn of_script(&mut self) -> Option<Seen> {
        let program = self.command[0].clone();
        if !program.contains('/') || is_shell(&program) {
            return None;
        }
        let with_sh = [&["sh".to_owned()], self.command].concat();
        let mut variant = self.variant(with_sh, Cause::CommandNotFound, String::new());
        if !self.run_in_time(&variant.change, variant.command.clone()).await.success() {
            return None;
        }
        let asks = |question: &str| ["sh", "-c", question, &program].map(str::to_owned).to_vec();
        let rights = format!("whether {program} may be executed");
        let rights = self.run_in_time(&rights, asks("test -x \"$0\"")).await;
        let line = format!("whether the first line of {program} names its interpreter");
        let line = self.run_in_time(&line, asks(NAMES_INTERPRETER)).await;
        if rights.kind != Kind::Exited || line.kind != Kind::Exited {
            return None;
        }
        let interpreter = "whether its interpreter is there";
        if rights.success() && line.success() && self.run_in_time(interpreter, asks(HAS_INTERPRETER)).await.success() {
            // The script itself could not start something.
            return None;
        }
        (variant.cause, variant.explanation) = match (rights.success(), line.success()) {
            (true, true) => (
                Cause::CommandNotFound,
                format!(
                    "the container lacks the interpreter that the first line of {program} names, and its sh runs the script"
                ),
            ),
            (true, false) => (
                Cause::CommandWithoutShell,
                format!(
                    "{program} has no first line that names its interpreter, such as `#!/bin/sh`, and the container's sh runs it"
                ),
            ),
            (false, _) => (
                Cause::CommandWithoutShell,
                format!("{program} may not be executed, and the container's sh runs it as a script"),
            ),
        };
        Some(self.of_variant(variant).await)
    }

    /// The programs that a shell of the container does not find.
    pub(super) async fn of_missing(&mut self, first: &Observation) -> Option<Seen> {
        let look = |shell: &[String], program: &str| [shell, &[LOOK.to_owned(), program.to_owned()]].concat();
        let sh = ["sh", "-c"].map(str::to_owned);
        let has_shell = self.run_in_time("a search for sh", look(&sh, "sh")).await;
        if has_shell.kind == Kind::CannotExec {
            return Some(self.without_shell(first).await);
        }
        let programs = programs(self.command);
        let script = script_at(self.command).map(|at| self.command[at].as_str());
        if script.is_some_and(|script| !is_simple(script) || programs.len() > 1 && chooses(script)) {
            return None;
        }
        // Each shell has words of its own, and a login shell its profile's `PATH`.
        let shell = script_at(self.command).map_or(sh.to_vec(), |at| self.command[..at].to_vec());
        // A script that ends otherwise need not have come to the later ones.
        let reached = if could_not_start(first) { programs.len() } else { 1 };
        let mut missing = Vec::new();
        for program in programs.into_iter().take(reached) {
            let found = self.run_in_time(&format!("a search for {program}"), look(&shell, &program)).await;
            if found.kind == Kind::Exited && !found.success() {
                missing.push(program);
            }
        }
        if missing.is_empty() || !has_shell.success() {
            return None;
        }
        let text = format!("the container lacks {}", missing.join(" and "));
        let always = self.repeat(FLIPS).await.iter().all(|success| !success);
        always.then(|| Seen::Cause(Found::of_everyone(Cause::CommandNotFound, text)))
    }

    /// Without a shell that could look for the program, the container runtime shows whether it is there.
    async fn without_shell(&mut self, first: &Observation) -> Seen {
        let program = self.command[0].clone();
        let program = program.as_str();
        let text = match is_shell(program) {
            true => format!("the container has no shell, which the probe starts as {program}"),
            false => format!("the container lacks {program}, and has no shell either"),
        };
        let nothing = self.run_in_time("`true` in its place", vec!["true".to_owned()]).await;
        let is_absent = nothing.success() && is_shell(program) || self.is_absent(first).await;
        if is_absent && self.repeat(FLIPS).await.iter().all(|success| !success) {
            return Seen::Cause(Found::of_everyone(Cause::CommandNotFound, text));
        }
        Seen::Remark(
            format!("{program} cannot be run in the container; it has no shell either"),
            Some("use an httpGet, tcpSocket or grpc probe, or a command that the image has"),
        )
    }

    /// Whether the runtime says of the program what it says of one that no image has, in the same directory if it names one, and something
    /// else of a file that is there. A runtime that starts nothing says the same of all.
    async fn is_absent(&mut self, first: &Observation) -> bool {
        let program = self.command[0].clone();
        let absent = match program.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{ABSENT}"),
            None => ABSENT.to_owned(),
        };
        let of_absent = self.run_in_time(&format!("{absent}, which no image has"), vec![absent.clone()]).await;
        let of_file = self.run_in_time(&format!("{FILE}, a file that is not a program"), vec![FILE.to_owned()]).await;
        let cannot = [first, &of_absent, &of_file].iter().all(|answer| answer.kind == Kind::CannotExec);
        let said = |answer: &Observation, name: &str| answer.message.replace(name, &program);
        cannot && said(&of_absent, &absent) == first.message && said(&of_file, FILE) != first.message
    }
}
