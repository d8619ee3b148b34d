//! Commands of exec probes: how often they run, and whether they are written for a shell that a kubelet does not start.

use std::time::Duration;

use e2e_plan::{Probe, ProbeKind};

use super::{Remarks, Severity};
use e2e_plan::shell::{is_shell, script_at};

/// A command costs a process in the container; more often than this, its CPU time becomes visible.
const OFTEN: Duration = Duration::from_secs(5);
/// What connects commands in a shell.
const OPERATORS: [&str; 4] = ["|", "||", "&&", ";"];
/// Those of them that programs also take as the value of an option: `cut -d "|"`.
const SEPARATORS: [&str; 2] = ["|", ";"];
/// What people write for `$0`, the name under which a script of `sh -c` runs.
const SCRIPT_NAMES: [&str; 2] = ["_", "--"];
const NO_SHELL: &str = "a kubelet starts the first item as the program, without a shell";

impl Remarks<'_> {
    pub(super) fn command(&mut self, which: ProbeKind, probe: &Probe, command: &[String], field: &str) {
        if let Some(reason) = sign_of_a_shell(command) {
            let fix = "write each argument as a separate item, or the whole as one script: command: [sh, -c, ...]";
            self.add("exec-without-shell", Severity::Warning, format!("{field}.exec.command"), reason, fix);
        }
        if probe.period < OFTEN {
            let reason = format!(
                "it starts a process in the container every {} s, within the container's CPU and memory limits",
                probe.period.as_secs_f64()
            );
            let severity = if probe.period <= Duration::from_secs(1) && which != ProbeKind::Startup {
                Severity::Warning
            } else {
                Severity::Note
            };
            let fix = "use httpGet, tcpSocket or grpc, or a longer periodSeconds";
            self.add("exec-often", severity, field.to_owned(), reason, fix);
        }
    }
}

/// What shows that a command is written for a shell, which does not get it as a script.
fn sign_of_a_shell(command: &[String]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    if is_shell(program) {
        return sign_behind_a_script(command);
    }
    // Paths of Windows have spaces and backslashes.
    if program.trim().contains(char::is_whitespace) && !program.contains('\\') {
        return Some(format!("the name of the program is `{program}`, with its spaces: {NO_SHELL}"));
    }
    let arguments = without_script(program, arguments);
    let variable = arguments.iter().find(|item| is_variable(item));
    match (operator(&arguments), variable) {
        (Some(operator), _) => Some(format!("`{operator}` is an argument of {program}, not an operator: {NO_SHELL}")),
        (None, Some(variable)) => Some(format!("{program} gets `{variable}` literally, not its value: {NO_SHELL}")),
        (None, None) => None,
    }
}

/// Where a program takes a script in its own language, in which `$NAME` and `|` mean something.
enum Script {
    /// The item behind one of these flags.
    Behind(&'static [&'static str]),
    /// The first item that is no option.
    First,
    /// Everything behind a flag that starts like this, in any case.
    Rest(&'static str),
}

const SCRIPTS: [(&str, Script); 9] = [
    ("awk", Script::First),
    ("cmd", Script::Rest("/c")),
    ("gawk", Script::First),
    ("mawk", Script::First),
    ("perl", Script::Behind(&["-e", "-E"])),
    ("php", Script::Behind(&["-r"])),
    ("powershell", Script::Rest("")),
    ("pwsh", Script::Rest("-c")),
    ("ruby", Script::Behind(&["-e"])),
];

/// The arguments of a program that are not its script.
fn without_script<'a>(program: &str, arguments: &'a [String]) -> Vec<&'a str> {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_lowercase();
    let name = name.strip_suffix(".exe").unwrap_or(&name);
    let arguments = arguments.iter().map(String::as_str);
    match SCRIPTS.iter().find(|(known, _)| *known == name).map(|(_, script)| script) {
        None => arguments.collect(),
        Some(Script::Behind(flags)) => {
            let mut is_script = false;
            let mut is_other = |item: &&str| !std::mem::replace(&mut is_script, flags.contains(item));
            arguments.filter(|item| is_other(item)).collect()
        }
        Some(Script::First) => {
            let mut is_found = false;
            let mut is_other =
                |item: &&str| is_found || item.starts_with('-') || std::mem::replace(&mut is_found, true);
            arguments.filter(|item| is_other(item)).collect()
        }
        Some(Script::Rest(flag)) => arguments.take_while(|item| !item.to_lowercase().starts_with(flag)).collect(),
    }
}

/// The first operator among arguments that is neither the value of an option nor the end of `find -exec`.
fn operator<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let mut before = "";
    let mut is_executing = false;
    for item in arguments.iter().copied() {
        let is_value = SEPARATORS.contains(&item) && (is_executing || before.starts_with('-'));
        if OPERATORS.contains(&item) && !is_value {
            return Some(item);
        }
        is_executing = item.starts_with("-exec") || item.starts_with("-ok") || is_executing && item != ";";
        before = item;
    }
    None
}

/// A shell takes one item behind `-c` and other options as its script, and the others as parameters.
fn sign_behind_a_script(command: &[String]) -> Option<String> {
    let at = script_at(command)?;
    let (flag, script, parameters) = (&command[at - 1], &command[at], &command[at + 1..]);
    let name = parameters.first()?.as_str();
    let is_meant = script.contains('$') || is_shell(name) || SCRIPT_NAMES.contains(&name);
    let is_option = script.starts_with('-');
    (!is_meant && !is_option).then(|| {
        let ignored = parameters.join(" ");
        format!("the shell takes only the item behind {flag} as its script: it runs `{script}` and ignores `{ignored}`")
    })
}

/// `$NAME` or `${NAME}` and nothing else, so that no regular expression or query looks like it.
fn is_variable(item: &str) -> bool {
    let Some(name) = item.strip_prefix('$') else { return false };
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
