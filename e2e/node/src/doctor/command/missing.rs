//! What a command lacks in its container: a shell, a program, an interpreter, the right to execute a file. A part of [`Bench`].

use e2e_kubelet::{
    diagnosis::Cause,
    observation::{Kind, Observation},
    shell::is_shell,
};

use super::{
    super::script::{OF_BASH, before_and, chooses, is_simple, needs_all, programs, script_in, with_program},
    Bench, FLIPS, Found, Runtime, Seen, as_command, could_not_start,
};

/// A name that no program has.
const ABSENT: &str = "no-image-has-this-program";
/// A directory of every container: the container runtime mounts it.
const DIRECTORY: &str = "/proc";
/// Whether a program can be found, or is there, if not executable, where its name says so.
const LOOK: &str = "case $0 in */*) test -e \"$0\";; *) command -v \"$0\" > /dev/null;; esac";
/// Whether a file is one and has content: of a directory, dash reads an empty script.
const IS_FILE: &str = "test -f \"$0\" && test -s \"$0\"";
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
        let asks = |question: &str| ["sh", "-c", question, &program].map(str::to_owned).to_vec();
        if !self.run_in_time(&format!("whether {program} is a file with content"), asks(IS_FILE)).await.success() {
            return None;
        }
        let rights = format!("whether {program} may be executed");
        let rights = self.run_in_time(&rights, asks("test -x \"$0\"")).await;
        let line = format!("whether the first line of {program} names its interpreter");
        let line = self.run_in_time(&line, asks(NAMES_INTERPRETER)).await;
        if rights.kind != Kind::Exited || line.kind != Kind::Exited {
            return None;
        }
        let lacks_interpreter = match rights.success() && line.success() {
            false => None,
            true => {
                let interpreter = self.run_in_time("whether its interpreter is there", asks(HAS_INTERPRETER)).await;
                if interpreter.kind != Kind::Exited || interpreter.success() {
                    // The script itself could not start something.
                    return None;
                }
                Some(format!("the container lacks the interpreter that the first line of {program} names"))
            }
        };
        let with_sh = [&["sh".to_owned()], self.command].concat();
        let mut variant = self.variant(with_sh, Cause::CommandNotFound, String::new());
        if !self.run_in_time(&variant.change, variant.command.clone()).await.success() {
            return self.of_lack(lacks_interpreter?).await;
        }
        (variant.cause, variant.explanation) = match (lacks_interpreter, rights.success()) {
            (Some(lack), _) => (Cause::CommandNotFound, format!("{lack}, and its sh runs the script")),
            (None, true) => (
                Cause::CommandWithoutShell,
                format!(
                    "{program} has no first line that names its interpreter, such as `#!/bin/sh`, and the container's sh runs it"
                ),
            ),
            (None, false) => (
                Cause::CommandWithoutShell,
                format!("{program} may not be executed, and the container's sh runs it as a script"),
            ),
        };
        Some(self.of_variant(variant).await)
    }

    /// The programs that a shell of the container does not find.
    pub(super) async fn of_missing(&mut self, first: &Observation) -> Option<Seen> {
        let sh = ["sh", "-c"].map(str::to_owned);
        let has_shell = self.look(&sh, "sh").await;
        if has_shell.kind == Kind::CannotExec {
            return Some(self.without_shell(first).await);
        }
        if !has_shell.success() {
            return None;
        }
        let program = self.command[0].clone();
        if could_not_start(first) && self.lacks(&sh, &program).await {
            return self.of_lack(format!("the container lacks {program}")).await;
        }
        if first.kind == Kind::CannotExec {
            return None;
        }
        let missing = match script_in(self.command) {
            Some(at) => self.missing_in_script(first, at).await,
            None => self.missing_of(&sh, &programs(self.command)).await,
        };
        match missing.is_empty() {
            true => None,
            false => self.of_lack(format!("the container lacks {}", missing.join(" and "))).await,
        }
    }

    /// The programs that a script fails for lack of. With one pipeline, each of them is needed. Otherwise an exit status of 126 or 127
    /// shows it if the status changes once `false` stands in the program's place. A script that ends otherwise may have gone on without the
    /// program: it needs the only one if it succeeds with `true` in its place, and those of the first pipeline before `&&` if that fails
    /// alone.
    async fn missing_in_script(&mut self, first: &Observation, at: usize) -> Vec<String> {
        let (shell, script) = (self.command[..at].to_vec(), self.command[at].clone());
        let is_last_word = could_not_start(first);
        // A document within the script is read as programs, too.
        if !is_simple(&script) || script.contains("<<") && !is_last_word {
            return Vec::new();
        }
        let programs = programs(self.command);
        let is_alone = programs.len() == 1;
        if needs_all(&script) {
            return self.missing_of(&shell, &programs).await;
        }
        if !is_last_word && !is_alone {
            return self.missing_before_and(&shell, &script).await;
        }
        if !is_alone && chooses(&script) {
            return Vec::new();
        }
        let mut needed = Vec::new();
        for program in self.missing_of(&shell, &programs).await {
            let other = if is_last_word { "false" } else { "true" };
            let command = with_program(self.command, &program, other);
            let end = self.run_in_time(&as_command(&command), command).await;
            let is_needed =
                if is_last_word { end.kind == Kind::Exited && !could_not_start(&end) } else { end.success() };
            needed.extend(is_needed.then_some(program));
        }
        needed
    }

    /// The missing programs of the pipeline before a script's first `&&`, if it fails alone.
    async fn missing_before_and(&mut self, shell: &[String], script: &str) -> Vec<String> {
        let Some(part) = before_and(script).filter(|part| needs_all(part)) else { return Vec::new() };
        let alone = [shell, &[part.to_owned()]].concat();
        let end = self.run_in_time(&as_command(&alone), alone.clone()).await;
        match end.kind == Kind::Exited && !end.success() {
            true => self.missing_of(shell, &programs(&alone)).await,
            false => Vec::new(),
        }
    }

    /// Those of the programs that a shell does not find.
    async fn missing_of(&mut self, shell: &[String], programs: &[String]) -> Vec<String> {
        let mut missing = Vec::new();
        for program in programs.iter().filter(|program| !OF_BASH.contains(&program.as_str())) {
            if self.lacks(shell, program).await {
                missing.push(program.clone());
            }
        }
        missing
    }

    /// Looks for a program; each shell has words of its own, and a login shell its profile's `PATH`.
    async fn look(&mut self, shell: &[String], program: &str) -> Observation {
        let command = [shell, &[LOOK.to_owned(), program.to_owned()]].concat();
        self.run_in_time(&format!("a search for {program}"), command).await
    }

    async fn lacks(&mut self, shell: &[String], program: &str) -> bool {
        let found = self.look(shell, program).await;
        found.kind == Kind::Exited && !found.success()
    }

    /// A lack that each repeat of the probe agrees with.
    async fn of_lack(&mut self, text: String) -> Option<Seen> {
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
    /// else of a directory. A runtime that starts nothing says the same of all.
    async fn is_absent(&mut self, first: &Observation) -> bool {
        let program = self.command[0].clone();
        let absent = match program.rsplit_once('/') {
            Some((directory, _)) => format!("{directory}/{ABSENT}"),
            None => ABSENT.to_owned(),
        };
        let of_absent = self.run_in_time(&format!("{absent}, which no image has"), vec![absent.clone()]).await;
        let of_directory = self.run_in_time(&format!("{DIRECTORY}, a directory"), vec![DIRECTORY.to_owned()]).await;
        let cannot = [first, &of_absent, &of_directory].iter().all(|answer| answer.kind == Kind::CannotExec);
        let said = |answer: &Observation, name: &str| answer.message.replace(name, &program);
        cannot && said(&of_absent, &absent) == first.message && said(&of_directory, DIRECTORY) != first.message
    }
}
