//! The output of a command in a container. Main function: [`both_outputs`].

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of a command's output is kept, as a kubelet does.
pub(crate) const EXEC_OUTPUT_MAX: usize = 10 * 1024;

/// The beginning of a command's two outputs. Both are read side by side: a full pipe would block the command, and in a cluster both
/// come over one connection.
pub(crate) async fn both_outputs(
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
) -> Vec<u8> {
    let (mut output, errors) = tokio::join!(beginning(stdout), beginning(stderr));
    output.extend(errors);
    output.truncate(EXEC_OUTPUT_MAX);
    output
}

/// What a probe keeps of a stream. The rest is read as well, so that the command can end, and dropped.
async fn beginning(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut chunk = [0; 4096];
    // A stream that breaks has given what there was.
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        let room = EXEC_OUTPUT_MAX - kept.len();
        kept.extend_from_slice(&chunk[..length.min(room)]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// As the client does it: one loop writes both, into buffers of this size.
    const BUFFER: usize = 1024;

    #[rstest::rstest]
    #[case::much_on_stderr_first(&[(false, 3 * BUFFER), (true, 5)])]
    #[case::more_than_is_kept(&[(true, 2 * EXEC_OUTPUT_MAX), (false, 2 * EXEC_OUTPUT_MAX)])]
    #[tokio::test]
    async fn no_output_keeps_a_command_from_ending(#[case] writes: &'static [(bool, usize)]) {
        let ((mut to_stdout, stdout), (mut to_stderr, stderr)) = (duplex(BUFFER), duplex(BUFFER));
        let writer = tokio::spawn(async move {
            for (is_stdout, length) in writes {
                let stream = if *is_stdout { &mut to_stdout } else { &mut to_stderr };
                stream.write_all(&vec![b'x'; *length]).await.expect("somebody reads");
            }
        });
        let output = tokio::time::timeout(Duration::from_secs(5), both_outputs(Some(stdout), Some(stderr)));
        let output = output.await.expect("it ends");
        writer.await.expect("everything was read");
        let written: usize = writes.iter().map(|(_, length)| length).sum();
        assert_eq!(output.len(), written.min(EXEC_OUTPUT_MAX));
    }
}
