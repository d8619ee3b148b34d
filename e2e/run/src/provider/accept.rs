//! Accepts connections in spite of temporary errors. Main function: [`next`].

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long to leave alone a listener that cannot take a connection: mostly this process is out of file descriptors, and
/// connections that are under way have to end first.
const PAUSE: Duration = Duration::from_millis(10);

/// The next connection. What fails now is tried again: it says nothing of the connections after it.
pub(super) async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    /// The limit is this process's, which is one of the test's own.
    #[tokio::test]
    async fn a_want_of_file_descriptors_passes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
        assert!(listener.accept().await.is_err(), "there is no descriptor left");
        let taken = tokio::spawn(async move { next(&listener).await });
        tokio::time::sleep(5 * PAUSE).await;
        assert!(!taken.is_finished());
        setrlimit(Resource::Nofile, before).unwrap();
        let taken = tokio::time::timeout(Duration::from_secs(5), taken).await;
        taken.expect("it goes on").expect("no panic");
    }
}
