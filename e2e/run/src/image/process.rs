//! Runs a program whose output is an image's content. Main function: [`run`].

use std::{fmt, process::Stdio};

use tokio::{io::AsyncReadExt, process::Command};

use crate::lines;

/// How much of an output an error shows: enough for a compiler's or package manager's last message.
const LAST_LINES: usize = 20;

/// A failed command or build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong, in a few words.
    pub problem: String,
    /// The end of its output.
    pub last_lines: Vec<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        self.last_lines.iter().try_for_each(|line| write!(f, "\n    | {line}"))
    }
}

/// Runs `command`, hands each line of its standard error to `on_line` and returns its standard output.
///
/// It is not killed when the future is dropped: a script that makes a root filesystem has to clean up after itself.
pub(super) async fn run(command: &mut Command, on_line: &(dyn Fn(&str) + Sync)) -> Result<Vec<u8>, Failed> {
    let failed = |problem: String| Failed { problem, last_lines: Vec::new() };
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot start {program}: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut bytes = Vec::new();
        match stdout {
            Some(mut stdout) => stdout.read_to_end(&mut bytes).await.map(|_| bytes),
            None => Ok(bytes),
        }
    };
    let mut last_lines = Vec::new();
    let said = lines::each(stderr, |line| {
        on_line(line);
        keep(&mut last_lines, line);
    });
    let (output, ()) = tokio::join!(read, said);
    let status = child.wait().await.map_err(|error| failed(format!("cannot wait for it: {error}")))?;
    if !status.success() {
        return Err(Failed { problem: status.to_string(), last_lines });
    }
    output.map_err(|error| failed(format!("cannot read its output: {error}")))
}

/// Keeps a line in case of a failure.
pub(super) fn keep(last_lines: &mut Vec<String>, line: &str) {
    if last_lines.len() == LAST_LINES {
        last_lines.remove(0);
    }
    last_lines.push(line.to_owned());
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    async fn shell(script: &str) -> (Result<Vec<u8>, Failed>, Vec<String>) {
        let seen = Mutex::new(Vec::new());
        let on_line = |line: &str| seen.lock().expect("no panic holds it").push(line.to_owned());
        let result = run(Command::new("sh").args(["-c", script]), &on_line).await;
        (result, seen.into_inner().expect("no panic holds it"))
    }

    #[tokio::test]
    async fn output_and_progress_are_told_apart() {
        let (result, seen) = shell("echo content; echo progress >&2").await;
        assert_eq!((result, seen), (Ok(b"content\n".to_vec()), vec!["progress".to_owned()]));
    }

    #[tokio::test]
    async fn a_failure_has_the_last_lines_only() {
        let (result, seen) = shell("for i in $(seq 30); do echo $i >&2; done; exit 3").await;
        let failed = result.expect_err("exit 3");
        assert_eq!(failed.problem, "exit status: 3");
        assert_eq!((failed.last_lines.len(), failed.last_lines[0].as_str(), seen.len()), (20, "11", 30));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let failed = run(&mut Command::new("/no/such/program"), &|_| {}).await.expect_err("not there");
        assert!(failed.problem.starts_with("cannot start /no/such/program: "), "{}", failed.problem);
    }
}
