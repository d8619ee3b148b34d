//! What a probe meets. Main type: [`Patient`].

use super::*;

/// A probe and what it meets.
pub(super) struct Patient {
    pub(super) case: Case,
    pub(super) target: Target,
    /// Dropped when the examination is over.
    pub(super) servers: Vec<Server>,
    _tasks: JoinSet<()>,
}

impl Patient {
    pub(super) fn of(server: Server) -> Self {
        let target = Target::new(POD, 8000, server.address);
        let mut case = case(&[], second());
        case.probe.period = second();
        Self { case, target, servers: vec![server], _tasks: JoinSet::new() }
    }

    pub(super) async fn serving(speaks: Speaks, reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::of(Server::speaking(speaks, reply).await)
    }

    /// One that meets what listens at an address, which is no server of HTTP.
    async fn at(address: SocketAddr) -> Self {
        let unused = Server::start(|_| Reply::Reset).await;
        Self::of(unused).dialling(address)
    }

    /// One whose connections are served side by side.
    async fn connected<S: Future<Output: Send> + Send + 'static>(
        serve: impl Fn(TcpStream) -> S + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut patient = Self::at(listener.local_addr().unwrap()).await;
        patient._tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream));
            }
        });
        patient
    }

    pub(super) fn changed(mut self, change: impl FnOnce(&mut Case)) -> Self {
        change(&mut self.case);
        self
    }

    pub(super) fn known(self, known: Known) -> Self {
        self.changed(|case| case.known = known)
    }

    pub(super) fn https(self) -> Self {
        self.changed(|case| *get(case).0 = true)
    }

    pub(super) fn grpc(self, service: &str) -> Self {
        let service = service.to_owned();
        self.changed(|case| case.probe.action = ProbeAction::Grpc { port: 8000, service })
    }

    pub(super) fn asking(self, asked: &str) -> Self {
        self.changed(|case| *get(case).1 = asked.to_owned())
    }

    pub(super) fn sending(self, name: &str, value: &str) -> Self {
        self.changed(|case| get(case).2.push((name.to_owned(), value.to_owned())))
    }

    /// Beside a request that works.
    pub(super) fn working(self, works: WorkingRequest) -> Self {
        self.known(Known { works: Some(works), ..Known::default() })
    }

    /// Beside a request for this path that works.
    pub(super) fn works_with(self, target: &str) -> Self {
        let address = self.target.ports[&8000];
        self.working(works(address, target, &[]))
    }

    /// Beside a request with this header that works.
    pub(super) fn works_with_header(self, name: &str, value: &str) -> Self {
        let address = self.target.ports[&8000];
        self.working(works(address, "/health", &[(name, value)]))
    }

    /// Beside a request for this path that works at another port, with a server of its own.
    pub(super) fn beside(mut self, port: u16, server: Server, target: &str) -> Self {
        let works = WorkingRequest { host: format!("localhost:{port}"), ..works(server.address, target, &[]) };
        self.servers.push(server);
        self.working(works)
    }

    /// With another port, which a server of its own serves.
    pub(super) fn with(mut self, port: u16, server: Server) -> Self {
        self.target.ports.insert(port, server.address);
        self.servers.push(server);
        self
    }

    /// The probe goes to another address of this machine, with the same port.
    pub(super) fn dialled_at(self, ip: impl Into<IpAddr>) -> Self {
        let port = self.target.ports[&8000].port();
        self.dialling(SocketAddr::new(ip.into(), port))
    }

    /// With nobody at the probe's port.
    pub(super) fn elsewhere(self) -> Self {
        self.dialling(closed_port())
    }

    pub(super) fn dialling(mut self, address: SocketAddr) -> Self {
        self.target.ports.insert(8000, address);
        self
    }
}

/// An app that listens on every address of this machine.
pub(super) async fn on_two_addresses(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Patient {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    Patient::of(Server::on(listener, Speaks::Http1, reply)).dialled_at(Ipv4Addr::LOCALHOST)
}

/// Over HTTP/1, an app that refuses with `status` what is not good.
pub(super) async fn unless(
    status: u16,
    words: &'static str,
    is_good: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Patient {
    Patient::serving(Speaks::Http1, move |request| ok_if(is_good(request), status, words)).await
}

/// Over HTTP/1, an app that says the same to everyone.
pub(super) async fn always(status: u16, words: &'static str) -> Patient {
    unless(status, words, |_| false).await
}

/// An app that redirects to TLS unless a proxy at the usual loopback address reports it.
pub(super) async fn believes_this_machine() -> Patient {
    let reply = |request: &Request| match (header(request, "X-Forwarded-Proto"), request.peer) {
        (Some("https"), IpAddr::V4(Ipv4Addr::LOCALHOST)) => Reply::status(200, "OK"),
        _ => Reply::redirect(301, "https://10.244.0.9/health"),
    };
    let mut patient = Patient::serving(Speaks::Http1, reply).await;
    patient.target.ports.insert(443, closed_port());
    patient
}

/// An app that may be starting, and refuses with `status` until it has started.
pub(super) async fn starts(speaks: Speaks, status: u16, words: &'static str) -> Patient {
    let start = tokio::time::Instant::now();
    let patient = Patient::serving(speaks, move |_| ok_if(start.elapsed() > second() * 5 / 2, status, words)).await;
    patient.known(Known { may_be_starting: true, ..Known::default() })
}

pub(super) async fn now_and_then(words: &'static str, of: u32, which: u32) -> Patient {
    let count = AtomicU32::new(0);
    let fails = move |_: &Request| ok_if(count.fetch_add(1, Ordering::Relaxed) % of != which, 400, words);
    Patient::serving(Speaks::Http1, fails).await
}

/// An app that accepts so many requests of each `whose`, and has already had those of the first.
pub(super) async fn limited(
    quota: u32,
    status: u16,
    words: &'static str,
    whose: impl Fn(&Request) -> String + Send + Sync + 'static,
) -> Patient {
    let left = std::sync::Mutex::new(std::collections::BTreeMap::<String, u32>::new());
    let reply = move |request: &Request| {
        let mut left = left.lock().unwrap();
        let quota = if left.is_empty() { 0 } else { quota };
        let left = left.entry(whose(request)).or_insert(quota);
        let accepts = *left > 0;
        *left = left.saturating_sub(1);
        ok_if(accepts, status, words)
    };
    Patient::serving(Speaks::Http1, reply).await
}

/// A limit of one request in so much time. The result says whether it accepts the next one.
pub(super) fn pacer(apart: Duration) -> impl Fn() -> bool + Send + Sync + 'static {
    let accepted = std::sync::Mutex::new(None::<tokio::time::Instant>);
    move || {
        let (now, mut accepted) = (tokio::time::Instant::now(), accepted.lock().unwrap());
        let accepts = accepted.is_none_or(|last| now - last >= apart);
        *accepted = if accepts { Some(now) } else { *accepted };
        accepts
    }
}

/// An app with such a limit, which others have used up `before` the first request. It resets what it refuses with the status 0.
pub(super) async fn paced(apart: Duration, status: u16, words: &'static str, before: usize) -> Patient {
    let accepts = pacer(apart);
    let reply = move |request: &Request| {
        if request.earlier == 0 {
            (0..before).for_each(|_| {
                accepts();
            });
        }
        if status == 0 && !accepts() {
            return Reply::Reset;
        }
        ok_if(status == 0 || accepts(), status, words)
    };
    Patient::serving(Speaks::Http1, reply).await
}

/// A server that sends its answer over four seconds.
pub(super) async fn drips() -> Patient {
    Patient::connected(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n").await;
        for _ in 0..40 {
            tokio::time::sleep(second() / 10).await;
            let _ = stream.write_all(b"x").await;
        }
    })
    .await
}

/// A server that sends this, and the rest after four seconds.
pub(super) async fn pauses(first: &'static [u8], rest: &'static [u8]) -> Patient {
    Patient::connected(move |mut stream| async move {
        let _ = stream.write_all(first).await;
        tokio::time::sleep(second() * 4).await;
        let _ = stream.write_all(rest).await;
    })
    .await
}

/// A listener on all addresses of IPv6 and none of IPv4.
pub(super) fn on_ipv6_alone() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}

/// A server that begins with these bytes, and says those to whatever comes.
pub(super) async fn speaks(first: &'static [u8], then: &'static [u8]) -> Patient {
    another_protocol(move |_| Some(then), first, false).await
}

/// A JVM that waits for a debugger: it serves one, and listens again some time after that one has gone.
pub(super) async fn debugged() -> Patient {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut patient = Patient::at(address).await;
    patient._tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut said = Vec::new();
            let _ = stream.read_buf(&mut said).await;
            if said.starts_with(b"JDWP-Handshake") {
                let _ = stream.write_all(b"JDWP-Handshake").await;
                drop(listener);
                while stream.read_buf(&mut said).await.is_ok_and(|count| count > 0) {}
                tokio::time::sleep(second() / 30).await;
                listener = TcpListener::bind(address).await.unwrap();
            }
        }
    });
    patient
}

/// An echo server.
pub(super) async fn repeats() -> Patient {
    Patient::connected(|mut stream| async move {
        let (mut heard, mut said) = stream.split();
        tokio::io::copy(&mut heard, &mut said).await
    })
    .await
}

/// A server that answers who begins so, and closes or waits for more where anybody else does.
pub(super) async fn understands(greeting: &'static [u8], answer: &'static [u8], waits: bool) -> Patient {
    another_protocol(move |said| said.starts_with(greeting).then_some(answer), b"", waits).await
}

pub(super) async fn another_protocol(
    answer: impl Fn(&[u8]) -> Option<&'static [u8]> + Copy + Send + 'static,
    first: &'static [u8],
    waits: bool,
) -> Patient {
    Patient::connected(move |mut stream| async move {
        let _ = stream.write_all(first).await;
        let mut said = Vec::new();
        let _ = stream.read_buf(&mut said).await;
        match answer(&said) {
            Some(answer) => drop(stream.write_all(answer).await),
            None if waits => while stream.read_buf(&mut said).await.is_ok_and(|count| count > 0) {},
            None => {}
        }
        let _ = stream.shutdown().await;
        while stream.read_buf(&mut said).await.is_ok_and(|count| count > 0) {}
    })
    .await
}

/// Started again by something that watches it, it listens for 300 ms and is gone for a second.
pub(super) async fn comes_and_goes() -> Patient {
    let address = closed_port();
    let mut patient = Patient::at(address).await;
    patient.case.known.may_be_starting = true;
    patient._tasks.spawn(async move {
        loop {
            tokio::time::sleep(second()).await;
            let listener = TcpListener::bind(address).await.unwrap();
            let server = Server::on(listener, Speaks::Http1, |_| Reply::status(200, "OK"));
            tokio::time::sleep(second() * 3 / 10).await;
            drop(server);
        }
    });
    patient
}

/// A plain server that answers whatever comes with 400, handshakes included, a request that begins so with 200, and any other with 404.
pub(super) async fn answers_anything(words: &'static str, good: &'static str) -> Patient {
    let status = move |request: &Request| match request.starts_with("GET ") {
        true if request.starts_with(good) => 200,
        true => 404,
        false => 400,
    };
    Patient::serving(Speaks::Anything, move |request| Reply::status(status(request), words)).await.https()
}

pub(super) async fn opens_later(speaks: Speaks, after: Duration) -> Patient {
    let address = closed_port();
    let mut patient = Patient::at(address).await;
    patient.case.known.may_be_starting = true;
    patient._tasks.spawn(async move {
        tokio::time::sleep(after).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let server = Server::on(listener, speaks, |_| Reply::status(200, "OK"));
        std::future::pending::<()>().await;
        drop(server);
    });
    patient
}

/// An app that refuses requests without Host, and in front of it something that drops it.
pub(super) async fn behind_a_middlebox(words: &'static str) -> Patient {
    let app = Server::start(move |r| ok_if(header(r, "Host").is_some(), 400, words)).await;
    let direct = app.address;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut patient = Patient::of(app).dialling(listener.local_addr().unwrap());
    patient.case.known.works = Some(works(direct, "/health", &[]));
    patient._tasks.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if client.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8_lossy(&request).replace("HTTP/1.1", "HTTP/1.0");
                let kept: Vec<&str> = text.split("\r\n").filter(|line| !line.starts_with("Host:")).collect();
                let mut app = TcpStream::connect(direct).await.unwrap();
                app.write_all(kept.join("\r\n").as_bytes()).await.unwrap();
                let _ = tokio::io::copy(&mut app, &mut client).await;
            });
        }
    });
    patient
}

pub(super) fn ok_if(good: bool, otherwise: u16, words: &str) -> Reply {
    if good { Reply::status(200, "OK") } else { Reply::status(otherwise, words) }
}

pub(super) fn path(request: &Request) -> &str {
    request.split(' ').nth(1).unwrap_or_default()
}
