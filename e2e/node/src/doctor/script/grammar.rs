//! A shell's script as text: its words, the programs that its commands start, and whether it needs all of them. Pure. Main functions:
//! [`programs`], [`needs_all`].

use e2e_kubelet::shell::{base, script_at};

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
/// Words of a script that are no part of a command.
const SEPARATORS: [&str; 7] = [";", "\n", "|", "&", "(", ")", "`"];
/// Words of bash that no image has as a program.
pub(in super::super) const OF_BASH: [&str; 10] =
    ["[[", "declare", "function", "let", "local", "mapfile", "readarray", "shopt", "source", "typeset"];

/// Programs that start another one, with the letters of the options that take a value (POSIX, GNU coreutils, findutils).
const WRAPPERS: [(&str, &str); 9] = [
    ("env", "uC"),
    ("ionice", "cn"),
    ("nice", "n"),
    ("nohup", ""),
    ("setsid", ""),
    ("stdbuf", "ioe"),
    ("sudo", "ug"),
    ("timeout", "ks"),
    ("xargs", "aEILPdns"),
];

/// The programs that a command starts, each once, as far as its text shows them.
pub(in super::super) fn programs(command: &[String]) -> Vec<String> {
    let words = match script_at(command) {
        Some(at) => commands(&command[at]),
        None => started(command),
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

/// The program of a command's words, and those that it starts in turn.
fn started(words: &[String]) -> Vec<String> {
    let Some((program, rest)) = words.split_first() else { return Vec::new() };
    let behind = wrapped(program, rest).map(programs).unwrap_or_default();
    [vec![program.clone()], behind].concat()
}

/// Whether each command is known, and none is more than these.
pub(in super::super) fn starts_only(command: &[String], idle: &[&str]) -> bool {
    let words = script_at(command).map_or_else(|| started(command), |at| commands(&command[at]));
    words.iter().all(|word| SILENT.contains(&word.as_str()) || idle.contains(&base(word)))
}

pub(super) fn is_wrapper(program: &str) -> bool {
    WRAPPERS.iter().any(|(wrapper, _)| *wrapper == program)
}

/// The command behind a program that starts another one: behind its options, variables and, for `timeout`, the time.
fn wrapped<'a>(program: &str, mut rest: &'a [String]) -> Option<&'a [String]> {
    let (_, with_value) = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == base(program))?;
    while let [word, behind @ ..] = rest {
        let takes_value = |letter: &str| letter.len() == 1 && with_value.contains(letter);
        match word.strip_prefix('-') {
            Some(option) if takes_value(option) => rest = behind.get(1..)?,
            Some(_) => rest = behind,
            None if is_assignment(word) || word.starts_with(|c: char| c.is_ascii_digit()) => rest = behind,
            None => return Some(rest),
        }
    }
    None
}

/// The position of the script of a command's shell, which another program may start.
pub(in super::super) fn script_in(command: &[String]) -> Option<usize> {
    script_at(command).or_else(|| {
        let (program, rest) = command.split_first()?;
        let behind = wrapped(program, rest)?;
        Some(command.len() - behind.len() + script_in(behind)?)
    })
}

/// The programs of a script's commands.
fn commands(script: &str) -> Vec<String> {
    let words: Vec<String> = tokens(script).into_iter().map(|token| token.text).collect();
    let mut found = Vec::new();
    // Whether the next word begins a command, or stands in the head of a loop.
    let (mut begins, mut in_head) = (true, false);
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            ";" | "\n" => (begins, in_head) = (true, false),
            ")" => begins = false,
            // A list of bash has no commands.
            "(" if at > 0 && words[at - 1].ends_with('=') => begins = false,
            "|" | "&" | "(" | "`" => begins = !in_head,
            _ if !begins => {}
            // `command -v` only asks.
            "command" => begins = !words.get(at + 1).is_some_and(|next| matches!(next.as_str(), "-v" | "-V")),
            word if KEYWORDS.contains(&word) || is_assignment(word) || word.starts_with('-') => {}
            word if HEADS.contains(&word) => (begins, in_head) = (false, true),
            _ => {
                begins = false;
                let ends = |word: &String| SEPARATORS.contains(&word.as_str());
                let behind = &words[at..];
                found.extend(started(&behind[..behind.iter().position(ends).unwrap_or(behind.len())]));
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
/// no sums and functions, which are read as programs here.
pub(in super::super) fn is_simple(script: &str) -> bool {
    let changes = |token: Token| CHANGES.contains(&token.text.as_str()) || token.text.starts_with("PATH");
    !["((", "()"].iter().any(|sign| script.contains(sign)) && !tokens(script).into_iter().any(changes)
}

/// Whether a script takes one of its commands instead of another.
pub(in super::super) fn chooses(script: &str) -> bool {
    let tokens = tokens(script);
    let is_or = tokens.windows(2).any(|pair| pair[0].text == "|" && pair[1].text == "|");
    is_or || tokens.iter().any(|token| token.text == "if")
}

/// Whether a script turns the failure of a command into a success.
pub(in super::super) fn negates(script: &str) -> bool {
    let tokens = tokens(script);
    let begins = |at: usize| {
        at == 0 || {
            let before = tokens[at - 1].text.as_str();
            SEPARATORS.contains(&before) || KEYWORDS.contains(&before)
        }
    };
    (0..tokens.len()).any(|at| tokens[at].text == "!" && begins(at))
}

/// Whether a script fails for the lack of any one of its programs: it is one pipeline, or compares the output of one.
pub(in super::super) fn needs_all(script: &str) -> bool {
    // Behind each word there is a blank.
    let script = format!("{} ", script.trim());
    let tokens = tokens(&script);
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let is_open = |word: &&str| *word == "(";
    let (Some(open), Some(close)) = (words.iter().position(is_open), words.iter().rposition(|word| *word == ")"))
    else {
        return is_pipeline(&words);
    };
    let outer = [&words[..open], &words[(close + 1).max(open)..]].concat();
    let (before, behind) = (&script[..tokens[open].at], &script[tokens[close].at + 1..]);
    let is_operand =
        before.ends_with(" $") && behind.starts_with(' ') || before.ends_with(" \"$") && behind.starts_with("\" ");
    let is_more = |word: &&str| matches!(*word, "!" | "!=" | "-z" | "-a" | "-o" | "|");
    open < close
        && is_operand
        && matches!(outer[0], "[" | "test")
        && is_pipeline(&outer)
        && !outer.iter().any(is_more)
        && is_pipeline(&words[open + 1..close])
}

/// Whether words are commands joined by pipes, and nothing else.
fn is_pipeline(words: &[&str]) -> bool {
    let is_other = |word: &&str| *word != "|" && SEPARATORS.contains(word);
    let is_compound = |word: &str| word.is_empty() || matches!(word, "!" | "{" | "if" | "until" | "while" | "|");
    !words.iter().any(is_other)
        && words.split(|word| *word == "|").all(|command| {
            let first = command.first().copied().unwrap_or_default();
            !is_compound(first) && !HEADS.contains(&first)
        })
}

/// What stands before the first `&&` of a script that then fails if it does: behind it there is no other command to decide.
pub(in super::super) fn before_and(script: &str) -> Option<&str> {
    let tokens = tokens(script.trim_end());
    let is_pair =
        |at: usize, sign: &str| tokens[at].text == sign && tokens.get(at + 1).is_some_and(|next| next.text == sign);
    let and = (0..tokens.len()).find(|at| is_pair(*at, "&"))?;
    let goes_on = |at: usize| {
        let only_ends = || tokens.get(at + 2).is_some_and(|next| next.text == "exit");
        matches!(tokens[at].text.as_str(), ";" | "\n") || is_pair(at, "|") && !only_ends()
    };
    (!(and..tokens.len()).any(goes_on)).then(|| &script[..tokens[and].at])
}

/// The simple commands of a script, without the words that stand before them.
pub(in super::super) fn simple_commands(script: &str) -> Vec<&str> {
    let tokens = tokens(script);
    let is_separator = |token: &Token| SEPARATORS.contains(&token.text.as_str());
    let mut found = Vec::new();
    let mut first = None;
    for token in &tokens {
        match first {
            None if !is_separator(token) && !KEYWORDS.contains(&token.text.as_str()) => first = Some(token.at),
            Some(from) if is_separator(token) => {
                found.push(script[from..token.at].trim());
                first = None;
            }
            _ => {}
        }
    }
    found.extend(first.map(|from| script[from..].trim()));
    found
}

/// A command with another program in place of one.
pub(in super::super) fn with_program(command: &[String], program: &str, other: &str) -> Vec<String> {
    let Some(at) = script_in(command) else {
        let item = |item: &String| if item == program { other } else { item }.to_owned();
        return command.iter().map(item).collect();
    };
    let mut changed = command.to_vec();
    for token in tokens(&command[at]).iter().rev().filter(|token| token.text == program) {
        if command[at][token.at..].starts_with(program) {
            changed[at].replace_range(token.at..token.at + program.len(), other);
        }
    }
    changed
}

/// A word of a script with its quotes, or a separator, and where it begins.
#[derive(Default)]
struct Token {
    at: usize,
    text: String,
}

/// The words of a script while it is read; the last one may go on.
struct Tokens(Vec<Token>);

impl Tokens {
    fn add(&mut self, at: usize, text: &str) {
        let word = self.0.last_mut().expect("never empty");
        if word.text.is_empty() {
            word.at = at;
        }
        word.text += text;
    }

    fn separate(&mut self, at: usize, text: &str) {
        self.0.extend([Token { at, text: text.to_owned() }, Token::default()]);
    }

    fn is_in_word(&self) -> bool {
        self.0.last().is_some_and(|word| !word.text.is_empty())
    }
}

/// Words with their quotes, and separators, without comments. What a substitution starts is read also between double quotes.
fn tokens(script: &str) -> Vec<Token> {
    let mut tokens = Tokens(vec![Token::default()]);
    // The quote in which a letter stands, below it those of the places in which its parentheses stand.
    let mut quotes = vec![None];
    let mut last = ' ';
    let mut letters = script.char_indices();
    while let Some((at, mut c)) = letters.next() {
        let quote = quotes.last().copied().flatten();
        let letter = &script[at..at + c.len_utf8()];
        match (quote, c) {
            (None | Some('"'), '\\') => match letters.next() {
                // The line goes on.
                None | Some((_, '\n')) => {}
                Some((next, letter)) => tokens.add(at, &script[at..next + letter.len_utf8()]),
            },
            (None | Some('"'), '$') if script[at..].starts_with("$((") => {
                let sum = script[at..].find("))").map_or(&script[at..], |end| &script[at..at + end + 2]);
                tokens.add(at, sum);
                letters.nth(sum.chars().count() - 2);
            }
            (Some('"'), '(') if last == '$' => {
                tokens.separate(at, letter);
                quotes.push(None);
            }
            (Some(open), _) => {
                tokens.add(at, letter);
                if c == open {
                    quotes.pop();
                    quotes.push(None);
                }
            }
            (None, '\'' | '"') => {
                tokens.add(at, letter);
                quotes.pop();
                quotes.push(Some(c));
            }
            (None, '#') if !tokens.is_in_word() => {
                // A comment ends with its line.
                if let Some((end, _)) = letters.by_ref().find(|(_, letter)| *letter == '\n') {
                    tokens.separate(end, "\n");
                }
                c = '\n';
            }
            (None, '&') if matches!(last, '<' | '>') => tokens.add(at, letter),
            (None, ';' | '|' | '&' | '\n' | '(' | ')' | '`') => {
                // `$(` begins a command as `(` does.
                tokens.separate(at, letter);
                match c {
                    '(' => quotes.push(None),
                    ')' if quotes.len() > 1 => drop(quotes.pop()),
                    _ => {}
                }
            }
            (None, c) if c.is_whitespace() => tokens.0.push(Token::default()),
            (None, _) => tokens.add(at, letter),
        }
        last = c;
    }
    tokens.0.retain(|token| !token.text.is_empty());
    tokens.0
}

#[cfg(test)]
mod tests;
