//! The command of an exec probe as text: what its author may have meant, and the programs that it needs. Pure. Main functions:
//! [`as_meant`], [`programs`].

use e2e_kubelet::shell::{base, is_shell, script_at};

/// Words that a shell does not look up in `PATH`, but that stand before a command (POSIX, Shell Command Language, 2.4).
const KEYWORDS: [&str; 13] =
    ["!", "{", "do", "elif", "else", "exec", "if", "then", "time", "until", "while", "command", "eval"];
/// Words that end or only set something.
const SILENT: [&str; 16] = [
    "}", "done", "fi", "esac", "export", "set", "cd", ":", "exit", "return", "unset", "trap", "umask", "shift", "true",
    "false",
];
/// Words after which a shell reads no command up to the next line or semicolon.
const HEADS: [&str; 3] = ["for", "case", "select"];

/// What the author of a command may have meant who wrote it for a shell, while a kubelet runs its items as they are.
pub(super) fn as_meant(command: &[String]) -> Vec<Vec<String>> {
    let mut meant = Vec::new();
    match (script_at(command), command) {
        (Some(at), _) => {
            // A shell takes one item as its script, and those behind it as parameters.
            let whole = command[at..].join(" ");
            let takes_parameters = ["$0", "$1", "$2", "$@", "$*"].iter().any(|name| command[at].contains(name));
            // A whole command that the shell has run may only succeed for what stands behind it.
            let has_run =
                command[at].contains(char::is_whitespace) && command[at..].iter().any(|word| is_operator(word));
            let is_script = takes_parameters || has_run;
            let script = if is_script { expanded(&command[at]) } else { expanded(&whole) };
            let behind = if is_script { &command[at + 1..] } else { &[] };
            meant.push([&command[..at], &[script], behind].concat());
        }
        (None, [line]) if line.contains(['\'', '"', '$', '|', ';', '<', '>', '*', '`']) => {
            meant.extend((!has_lone_ampersand(line)).then(|| shell(expanded(line))));
        }
        _ => {
            // A shell takes the file of a script as one item, too.
            let is_split =
                |(at, item): (usize, &String)| at == 0 || item.starts_with('-') || at == 1 && is_shell(&command[0]);
            let words = command.iter().enumerate().flat_map(|(at, item)| match is_split((at, item)) {
                true => item.split_whitespace().map(str::to_owned).collect(),
                false => vec![item.clone()],
            });
            let words: Vec<String> = words.collect();
            meant.push(words.clone());
            if words.iter().any(|word| is_operator(word) || word.contains('$')) {
                let words: Vec<String> = words.iter().map(|word| quoted(&expanded(word))).collect();
                meant.push(shell(words.join(" ")));
            }
        }
    }
    meant.retain(|other| other != command);
    meant
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
fn quoted(word: &str) -> String {
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

/// The programs that a command starts, each once, as far as its text shows them.
pub(super) fn programs(command: &[String]) -> Vec<String> {
    let words = match script_at(command) {
        Some(at) => commands(&command[at]),
        None => command.first().cloned().into_iter().collect(),
    };
    let mut programs: Vec<String> = Vec::new();
    for word in words {
        let is_silent =
            SILENT.contains(&word.as_str()) || word.contains(['$', '*', '?', '"', '\'', '~', '<', '>', '\\']);
        if !is_silent && !programs.contains(&word) {
            programs.push(word);
        }
    }
    programs
}

/// The first word of each command of a script; what stands in double quotes is not read.
fn commands(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Whether the next word begins a command, or stands in the head of a loop.
    let (mut begins, mut in_head) = (true, false);
    for token in tokens(script) {
        let token = token.as_str();
        match token {
            ";" | "\n" => (begins, in_head) = (true, false),
            ")" => begins = false,
            "|" | "&" | "(" | "`" => begins = !in_head,
            _ if !begins => {}
            _ if KEYWORDS.contains(&token) || is_assignment(token) || token.starts_with('-') => {}
            _ if HEADS.contains(&token) => (begins, in_head) = (false, true),
            _ => {
                begins = false;
                found.push(token.to_owned());
            }
        }
    }
    found
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Words after which names mean something else, or that have a grammar of their own.
const CHANGES: [&str; 8] = ["cd", "pushd", ".", "source", "alias", "eval", "function", "case"];

/// Whether a script's programs are found where a search from outside finds them: it changes neither directory, `PATH` nor names, and has
/// nothing that is read as a program here and is none.
pub(super) fn is_simple(script: &str) -> bool {
    let changes = |token: &String| CHANGES.contains(&token.as_str()) || token.starts_with("PATH");
    !["((", "()", "<<"].iter().any(|sign| script.contains(sign)) && !tokens(script).iter().any(changes)
}

/// Whether a script may go on without one of its programs: it has several commands, or takes one instead of another.
pub(super) fn chooses(script: &str) -> bool {
    let tokens = tokens(script);
    let ends = tokens.iter().rposition(|token| token != "\n").map_or(0, |last| last + 1);
    let is_or = tokens.windows(2).any(|pair| pair[0] == "|" && pair[1] == "|");
    is_or
        || has_lone_ampersand(script)
        || tokens[..ends].iter().any(|token| matches!(token.as_str(), "if" | ";" | "\n"))
}

/// Words with their quotes, and separators, without comments.
fn tokens(script: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    let mut quote = None;
    let mut last = ' ';
    let mut letters = script.chars();
    while let Some(mut c) = letters.next() {
        let is_redirection = c == '&' && matches!(last, '<' | '>');
        let word = tokens.last_mut().expect("never empty");
        match (quote, c) {
            (None | Some('"'), '\\') => match letters.next() {
                // The line goes on.
                None | Some('\n') => {}
                Some(next) => word.extend([c, next]),
            },
            (Some(open), _) => {
                word.push(c);
                quote = (c != open).then_some(open);
            }
            (None, '\'' | '"') => {
                word.push(c);
                quote = Some(c);
            }
            (None, '#') if word.is_empty() => {
                // A comment ends with its line.
                if letters.by_ref().any(|letter| letter == '\n') {
                    tokens.extend(["\n".to_owned(), String::new()]);
                }
                c = '\n';
            }
            (None, ';' | '|' | '&' | '\n' | '(' | ')' | '`') if !is_redirection => {
                // `$(` begins a command as `(` does.
                tokens.extend([c.to_string(), String::new()]);
            }
            (None, c) if c.is_whitespace() => tokens.push(String::new()),
            (None, c) => word.push(c),
        }
        last = c;
    }
    tokens.retain(|token| !token.is_empty());
    tokens
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
        // `%{http_code}:` is a format of curl's.
        return !host.contains("%{");
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
    let programs = programs(command);
    let is_curl = |program: &String| base(program) == "curl";
    !programs.iter().all(is_curl) || text.split_whitespace().any(is_fail)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[rstest]
    #[case::one_string(&["redis-cli ping"], &["redis-cli", "ping"])]
    #[case::one_string_with_a_pipe(&["redis-cli ping | grep PONG"], &["sh", "-c", "redis-cli ping | grep PONG"])]
    #[case::an_option_with_its_value(&["probe", "-addr=:9000 -tls"], &["probe", "-addr=:9000", "-tls"])]
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
        assert_eq!(as_meant(&words(command)).concat(), words(expected));
    }

    #[rstest]
    #[case(&["/bin/check", "-x"], &["/bin/check"])]
    #[case(&["sh", "-c", "curl -sf http://a:1/b?c=1 2>&1 | grep -q 'a | b' || exit 1"], &["curl", "grep"])]
    #[case(&["bash", "-ec", "if ! A=1 pg_isready; then exit 1; fi\nfor x in a b; do echo $x; done"], &["pg_isready", "echo"])]
    #[case(&["sh", "-c", "[ $(redis-cli ping) = PONG ]"], &["[", "redis-cli"])]
    #[case::a_line_that_goes_on(&["sh", "-c", "curl -f \\\n  http://a:1/b \\\n  && grep -q \"a \\\" | b\" /up"], &["curl", "grep"])]
    #[case::a_comment(&["sh", "-c", "# is it up?\ncurl -f http://a:1/#b # or not; who knows"], &["curl"])]
    #[case::options_of_a_keyword(&["sh", "-c", "command -v curl && exec -l check"], &["curl", "check"])]
    #[case::a_home(&["sh", "-c", "~/bin/check && >/dev/null check"], &[])]
    fn programs_are_first_words(#[case] command: &[&str], #[case] expected: &[&str]) {
        assert_eq!(programs(&words(command)), words(expected));
    }

    #[rstest]
    #[case("curl -f http://a/source?path=/cd", true)]
    #[case("cd /app && ./check", false)]
    #[case("export PATH=/app:$PATH\ncheck", false)]
    #[case(". /app/env && check", false)]
    #[case("check() { curl -f http://a; }\ncheck", false)]
    #[case("[ $((now - 5)) -lt 3 ]", false)]
    #[case("case $(cat /up) in\n  ready) exit 0;;\nesac", false)]
    fn programs_of_a_simple_script_are_found_from_outside(#[case] script: &str, #[case] expected: bool) {
        assert_eq!(is_simple(script), expected);
    }

    #[rstest]
    #[case("curl -f http://a 2>&1 | grep b && test -f c\n", false)]
    #[case("curl -f http://a & test -f b", true)]
    #[case("curl -f http://a \\\n  -m 5", false)]
    #[case("curl -f http://a || exit 1", true)]
    #[case("curl -f http://a\ntest -f b", true)]
    #[case("if curl -f http://a; then exit 0; fi", true)]
    fn a_script_may_go_on_without_a_program(#[case] script: &str, #[case] expected: bool) {
        assert_eq!(chooses(script), expected);
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
    fn thresholds_are_no_ports(#[case] command: &[&str], #[case] expected: &[u16]) {
        assert_eq!(ports(&words(command)), expected);
    }

    #[rstest]
    #[case(&["curl", "-s", "-o", "/dev/null", "http://a:1/b"], false)]
    #[case(&["curl", "-sf", "http://a:1/b"], true)]
    #[case(&["sh", "-c", "curl --fail-with-body http://a:1/b || exit 1"], true)]
    #[case(&["sh", "-c", "curl -s http://a:1/b | grep -q up"], true)]
    #[case(&["wget", "-qO-", "http://a:1/b"], true)]
    fn curl_takes_a_refusal_for_a_success(#[case] command: &[&str], #[case] expected: bool) {
        assert_eq!(sees_refusals(&words(command)), expected);
    }
}
