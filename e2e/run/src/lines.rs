//! Reads another program's output line by line. Main function: [`each`].

use std::process::Output;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Passes on each line of a stream until its end, without trailing white space. Invalid UTF-8 is replaced rather than an error,
/// because an unread stream would block its writer.
pub(crate) async fn each(stream: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    let (mut stream, mut bytes) = (BufReader::new(stream), Vec::new());
    while stream.read_until(b'\n', &mut bytes).await.is_ok_and(|length| length > 0) {
        on_line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
}

/// The last line of a program's standard error.
pub(crate) fn last_words(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no output").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_text_does_not_end_the_reading() {
        let mut lines = Vec::new();
        each(Some(&b"one \xff\r\n\n  two\nthree"[..]), |line| lines.push(line.to_owned())).await;
        assert_eq!(lines, ["one \u{fffd}", "", "  two", "three"]);
    }
}
