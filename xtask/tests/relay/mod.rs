//! A way to a server that can be cut while it is in use, or be blocked. Main type: [`Relay`].

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Takes connections on a port of its own to a server.
pub(crate) struct Relay {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    /// Every connection's two ends; nothing once the relay is cut.
    streams: Arc<Mutex<Option<Vec<TcpStream>>>>,
    blocked: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to a URL's host and port.
    pub(crate) fn to(url: &str) -> Self {
        let server = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("its port");
        let streams = Arc::new(Mutex::new(Some(Vec::new())));
        let (open, blocked) = (Arc::clone(&streams), Arc::new(AtomicBool::new(false)));
        let is_blocked = Arc::clone(&blocked);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Some(open) = &mut *open.lock().unwrap_or_else(PoisonError::into_inner) else { return };
                let far = TcpStream::connect(&server).expect("the server answers");
                open.extend([near.try_clone().expect("a handle"), far.try_clone().expect("a handle")]);
                join(&near, &far, &is_blocked);
                join(&far, &near, &is_blocked);
            }
        });
        Self { address, streams, blocked }
    }

    /// From now on connections are taken and kept, and nothing comes through them.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
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

fn join(from: &TcpStream, to: &TcpStream, blocked: &Arc<AtomicBool>) {
    let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
    let blocked = Arc::clone(blocked);
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if !blocked.load(Ordering::Relaxed) && to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        // However it ends, the other side learns of it.
        let _ = to.shutdown(Shutdown::Write);
    });
}
