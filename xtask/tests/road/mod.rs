//! A way to a server that can be cut while it is in use. Main type: [`Road`].

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Takes connections on a port of its own to a server.
pub(crate) struct Road {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    /// Every connection's two ends; nothing once the road is cut.
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Road {
    /// A road to a URL's host and port.
    pub(crate) fn to(url: &str) -> Self {
        let server = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its port");
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let open = Arc::clone(&streams);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Some(open) = &mut *open.lock().unwrap_or_else(PoisonError::into_inner) else { return };
                let far = TcpStream::connect(&server).expect("the server answers");
                open.extend([near.try_clone().expect("a handle"), far.try_clone().expect("a handle")]);
                join(&near, &far);
                join(&far, &near);
            }
        });
        Self { address, streams }
    }

    /// Ends every connection, and takes no new one.
    pub(crate) fn cut(&self) {
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner).take();
        for stream in streams.into_iter().flatten() {
            // One that has ended already is as cut as it can be.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    thread::spawn(move || {
        // However it ends, the other side learns of it.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
