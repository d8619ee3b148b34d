//! The command of an exec probe as text: what its author may have meant, and the ports that it names. Pure. Main functions:
//! [`as_meant`], [`ports`].

mod grammar;

use std::slice;

use e2e_kubelet::shell::{base, is_shell, script_at};

use self::grammar::is_wrapper;
pub(super) use self::grammar::{
    OF_BASH, before_and, chooses, is_simple, needs_all, negates, programs, script_in, simple_commands, starts_only,
    with_program,
};

/// A word that no program knows.
const UNKNOWN: &str = "no-program-knows-this-word";

/// A command as its author may have meant it.
pub(super) struct Meant {
    pub(super) command: Vec<String>,
    /// The same without what it shall mean: if it succeeds too, the author did not mean that.
    pub(super) without: Option<Vec<String>>,
}

/// What the author of a command may have meant who wrote it for a shell, while a kubelet runs its items as they are.
pub(super) fn as_meant(command: &[String]) -> Vec<Meant> {
    let mut meant = match (script_at(command), command) {
        (Some(at), _) => vec![as_one_script(command, at)],
        (None, [line]) if line.contains(['\'', '"', '$', '|', ';', '<', '>', '*', '`']) => {
            match has_lone_ampersand(line) {
                true => Vec::new(),
                false => vec![Meant { command: shell(expanded(line)), without: None }],
            }
        }
        _ => as_words(command),
    };
    meant.retain(|other| other.command != command);
    meant
}

/// A shell takes one item as its script, and those behind it as its name and parameters.
fn as_one_script(command: &[String], at: usize) -> Meant {
    let (script, behind) = (&command[at], &command[at + 1..]);
    let takes_parameters = ["$0", "$1", "$2", "$@", "$*"].iter().any(|name| script.contains(name));
    // A whole command that the shell has run may only succeed for what stands behind it.
    let has_run = script.contains(char::is_whitespace) && command[at..].iter().any(|word| is_operator(word));
    if takes_parameters || has_run || behind.is_empty() {
        return Meant { command: [&command[..at], &[expanded(script)], behind].concat(), without: None };
    }
    let with =
        |words: &[String]| [&command[..at], &[expanded(&[slice::from_ref(script), words].concat().join(" "))]].concat();
    // With a negation, any word too many makes the script succeed.
    Meant { command: with(behind), without: Some(with(&vec![UNKNOWN.to_owned(); behind.len()])) }
}

/// Items as words of their own, and with a shell if they have variables or operators.
fn as_words(command: &[String]) -> Vec<Meant> {
    // A shell takes the file of a script as one item, too.
    let is_split = |at: usize, item: &str| at == 0 || at == 1 && is_shell(&command[0]) || is_option_with_value(item);
    let words = command.iter().enumerate().flat_map(|(at, item)| match is_split(at, item) {
        true => item.split_whitespace().map(str::to_owned).collect(),
        false => vec![item.clone()],
    });
    let words: Vec<String> = words.collect();
    let mut meant = vec![Meant { command: words.clone(), without: None }];
    let has_operator = words.iter().any(|word| is_operator(word));
    if has_operator || words.iter().any(|word| variable_at(word).is_some()) {
        let script = |word: fn(&str) -> String| {
            let words: Vec<String> = words.iter().map(|item| shell_word(&word(item))).collect();
            shell(words.join(" "))
        };
        // The variables may be those of awk or Perl, to which a shell leaves nothing of them.
        let without = (!has_operator).then(|| script(|word| without_variables(&expanded(word))));
        meant.push(Meant { command: script(expanded), without });
    }
    meant
}

/// Whether an item is an option and its value, or several options; in a header or an address, what stands before the blank is no option.
fn is_option_with_value(item: &str) -> bool {
    let Some((option, rest)) = item.split_once(char::is_whitespace) else { return false };
    let is_name = option.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_options = rest.split_whitespace().all(|word| word.starts_with('-'));
    let has_header = rest.split_whitespace().any(|word| word.ends_with(':'));
    option.starts_with('-') && (is_name && !has_header || is_options)
}

/// Where the first variable of a word begins: `$NAME`, `${NAME}` or `$(NAME)`, and not `$1`.
fn variable_at(word: &str) -> Option<usize> {
    let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '(');
    word.match_indices('$').map(|(at, _)| at).find(|at| word[at + 1..].starts_with(is_name))
}

/// A word without its variables, as a shell reads it that has none of them.
fn without_variables(word: &str) -> String {
    let Some(at) = variable_at(word) else { return word.to_owned() };
    let rest = &word[at + 1..];
    let end = match rest.chars().next() {
        Some('{') => rest.find('}').map_or(rest.len(), |end| end + 1),
        // What a command says is no variable.
        Some('(') => 1,
        _ => rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len()),
    };
    let kept = if rest.starts_with('(') { &word[..at + 2] } else { &word[..at] };
    format!("{kept}{}", without_variables(&rest[end..]))
}

fn shell(script: String) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), script]
}

/// `&` puts a command into the background, whose exit status is then that of nothing.
fn has_lone_ampersand(line: &str) -> bool {
    line.replace("&&", "").replace(">&", "").replace("&>", "").contains('&')
}

/// Whether a word connects commands, or redirects to nowhere; `>` alone may be a comparison, and would write a file.
fn is_operator(word: &str) -> bool {
    let redirects = word.contains(['<', '>']) && ["/dev/null", ">&1", ">&2"].iter().any(|end| word.ends_with(end));
    matches!(word, "|" | "||" | "&&" | ";") || redirects
}

/// A word for a shell: in quotes that leave its variables, unless it is an operator.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    match is_operator(word) || !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('`', "\\`")),
    }
}

/// A text with `$(NAME)`, which a kubelet replaces only where the value stands in the manifest, as a shell writes it.
fn expanded(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let inner = rest[at + 2..].split(')').next().unwrap_or_default();
        let is_name = inner.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        result += &rest[..at];
        match is_name && !inner.is_empty() && rest[at + 2..].len() > inner.len() {
            true => {
                result += &format!("${{{inner}}}");
                rest = &rest[at + 3 + inner.len()..];
            }
            false => {
                result += "$(";
                rest = &rest[at + 2..];
            }
        }
    }
    result + rest
}

/// A text in which a whole number is replaced by another.
pub(super) fn with_number(text: &str, from: u16, to: u16) -> String {
    let (from, to) = (from.to_string(), to.to_string());
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&from) {
        let (before, behind) = (&rest[..at], &rest[at + from.len()..]);
        let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
        let is_whole = !is_digit(before.chars().next_back()) && !is_digit(behind.chars().next());
        replaced += before;
        replaced += if is_whole { &to } else { &from };
        rest = behind;
    }
    replaced + rest
}

/// What stands behind a colon and is smaller is no port of an app.
const LEAST: u16 = 80;

/// The ports that a command names: behind a host and a colon, or an option or a variable for a port.
pub(super) fn ports(command: &[String]) -> Vec<u16> {
    let mut found = Vec::new();
    let text = command.join(" ");
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_ascii_digit(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                start = None;
                if let Ok(number) = text[from..at].parse::<u16>()
                    && is_of_port(&text[..from])
                    && c != '.'
                    && !c.is_alphanumeric()
                    && number >= LEAST
                    && !found.contains(&number)
                {
                    found.push(number);
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether what stands before a number says that it is a port.
fn is_of_port(before: &str) -> bool {
    let word = before.rsplit([' ', '\'', '"', '&', '?']).next().unwrap_or_default();
    let option = before.strip_suffix([' ', '=']).and_then(|before| before.rsplit([' ', '&', '?']).next());
    if let Some(host) = word.strip_suffix(':') {
        let is_option = |word: &str| word.starts_with('-') && word.to_ascii_lowercase().ends_with("addr");
        return match host.chars().next_back() {
            // `%{http_code}:` is a format of curl's, and `"code":` a field of JSON's.
            Some(c) => {
                !host.contains("%{") && (c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ']' | '}' | '='))
            }
            None => before.strip_suffix(" :").is_some_and(|before| before.rsplit(' ').next().is_some_and(is_option)),
        };
    }
    matches!(word, "-p" | "-P")
        || option.is_some_and(|option| {
            let name = option.trim_start_matches('-').to_ascii_lowercase();
            matches!(option, "-p" | "-P") || name == "port" || name.ends_with("port") && before.ends_with('=')
        })
}

/// Whether the exit status of a command's client says that the server answered well: curl alone reports an answer such as 404 as a success.
pub(super) fn sees_refusals(command: &[String]) -> bool {
    let text = command.join(" ");
    let is_fail = |word: &str| {
        word.starts_with("--fail") || word.starts_with('-') && !word.starts_with("--") && word.contains('f')
    };
    let is_other = |program: &str| program != "curl" && !is_wrapper(program);
    programs(command).iter().any(|program| is_other(base(program))) || text.split_whitespace().any(is_fail)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    pub(super) fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[rstest]
    #[case::one_string(&["redis-cli ping"], &["redis-cli", "ping"])]
    #[case::one_string_with_a_pipe(&["redis-cli ping | grep PONG"], &["sh", "-c", "redis-cli ping | grep PONG"])]
    #[case::an_option_with_its_value(&["probe", "-addr=:9000 -tls"], &["probe", "-addr=:9000", "-tls"])]
    #[case::an_option_with_a_number(&["find", "/tmp", "-maxdepth 0"], &["find", "/tmp", "-maxdepth", "0"])]
    #[case::a_header(&["curl", "-HHost: a", "-H Host: b"], &[])]
    #[case::a_variable_of_awk(&["awk", "{ exit $1 }", "status"], &[])]
    #[case::a_variable(&["mysql", "-p$PASSWORD"], &["sh", "-c", "mysql \"-p$PASSWORD\""])]
    #[case::a_variable_of_a_secret(&["mysql", "-p$(PASSWORD)"], &["sh", "-c", "mysql \"-p${PASSWORD}\""])]
    #[case::a_pipe(&["cat", "/up", "|", "grep", "a b"], &["sh", "-c", "cat /up | grep \"a b\""])]
    #[case::more_than_a_script(&["sh", "-c", "curl -f http://a", "||", "true"], &[])]
    #[case::a_script_in_parts(&["sh", "-c", "test", "-f", "/up"], &["sh", "-c", "test -f /up"])]
    #[case::a_file_with_its_parameter(&["/bin/sh", "/check.sh worker"], &["/bin/sh", "/check.sh", "worker"])]
    #[case::a_shell_that_is_not_split(&["sh -c", "true"], &["sh", "-c", "true"])]
    #[case::a_kubelets_variable_in_a_script(&["sh", "-c", "redis-cli -a $(SECRET) ping"], &["sh", "-c", "redis-cli -a ${SECRET} ping"])]
    // In the background it would succeed whatever comes.
    #[case::a_query(&["curl -f 'http://a/?b=1&c=2'"], &[])]
    #[case::parameters(&["sh", "-c", "check $1", "sh", ":8000"], &[])]
    #[case::a_comparison(&["expr", "3", ">", "5"], &[])]
    #[case::output_to_nowhere(&["check", ">/dev/null", "2>&1"], &["sh", "-c", "check >/dev/null 2>&1"])]
    #[case::well_written(&["sh", "-c", "test -f $(ls /tmp)"], &[])]
    #[case::a_statement(&["psql", "-c", "SELECT 1"], &[])]
    fn a_command_is_read_as_meant(#[case] command: &[&str], #[case] expected: &[&str]) {
        let meant: Vec<_> = as_meant(&words(command)).into_iter().flat_map(|meant| meant.command).collect();
        assert_eq!(meant, words(expected));
    }

    #[rstest]
    #[case::a_name(&["sh", "-c", "! test -e off", "readiness"], &["sh", "-c", "! test -e off no-program-knows-this-word"])]
    #[case::a_script_in_parts(&["sh", "-c", "test", "-f", "/up"], &["sh", "-c", "test no-program-knows-this-word no-program-knows-this-word"])]
    #[case::variables(&["awk", "{ exit $NF }", "${A}$(B)-$C$(d)"], &["sh", "-c", "awk \"{ exit  }\" \"-$(d)\""])]
    #[case::an_operator_beside_a_variable(&["cat", "$A", "|", "grep", "a"], &[])]
    fn what_is_meant_is_left_out(#[case] command: &[&str], #[case] expected: &[&str]) {
        let without: Vec<_> =
            as_meant(&words(command)).into_iter().filter_map(|meant| meant.without).flatten().collect();
        assert_eq!(without, words(expected));
    }

    #[rstest]
    #[case("redis:6379", "redis:1")]
    #[case("http://a:6379/b", "http://a:1/b")]
    #[case("16379 63790", "16379 63790")]
    fn a_port_is_a_whole_number(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(with_number(text, 6379, 1), expected);
    }

    #[test]
    fn ports_are_told_from_other_numbers() {
        let command = words(&[
            "curl",
            "-m",
            "5",
            "http://127.0.0.1:8080/v2000",
            "--port=9000",
            "-p",
            "6379",
            "-P3306",
            "10.1.2.3",
        ]);
        assert_eq!(ports(&command), [8080, 9000, 6379, 3306]);
    }

    #[rstest]
    #[case(&["sh", "-c", "[ $(curl -s -w '%{http_code}' http://localhost:8080/a) -lt 400 ]"], &[8080])]
    #[case(&["curl", "-sf", "localhost/health?max_lag=100"], &[])]
    #[case(&["sh", "-c", "PGPORT=5433 psql -c 'select 100'"], &[5433])]
    #[case(&["sh", "-c", "curl -sf \"http://${HOST}:9000/a\" -w '%{http_code}:200'"], &[9000])]
    #[case(&["mysqladmin", "--port", "3307", "--connect-timeout=100", "ping"], &[3307])]
    #[case(&["grpc_health_probe", "-addr=:9000", "-connect-timeout", "250ms"], &[9000])]
    #[case(&["grpc_health_probe", "-addr", ":9000"], &[9000])]
    #[case(&["sh", "-c", "curl -s http://[::1]:8080/a | grep -q '\"code\":503'"], &[8080])]
    fn thresholds_are_no_ports(#[case] command: &[&str], #[case] expected: &[u16]) {
        assert_eq!(ports(&words(command)), expected);
    }

    #[rstest]
    #[case(&["curl", "-s", "-o", "/dev/null", "http://a:1/b"], false)]
    #[case(&["curl", "-sf", "http://a:1/b"], true)]
    #[case(&["sh", "-c", "curl --fail-with-body http://a:1/b || exit 1"], true)]
    #[case(&["sh", "-c", "curl -s http://a:1/b | grep -q up"], true)]
    #[case(&["timeout", "3", "curl", "-s", "http://a:1/b"], false)]
    #[case(&["wget", "-qO-", "http://a:1/b"], true)]
    fn curl_takes_a_refusal_for_a_success(#[case] command: &[&str], #[case] expected: bool) {
        assert_eq!(sees_refusals(&words(command)), expected);
    }
}
