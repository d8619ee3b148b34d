//! The fixtures of the score that must not get a name. Main function: [`confounders`].

use super::{
    patients::{always, comes_and_goes, limited, ok_if, paced, path, speaks, unless},
    *,
};

/// A redirect to a TLS port of the pod, which replies so.
async fn redirected_to_tls(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Patient {
    let secured = Server::speaking(Speaks::Tls, reply).await;
    let redirects = Patient::serving(Speaks::Http1, |_| Reply::redirect(301, "https://10.244.0.9:8443/health"));
    redirects.await.with(8443, secured)
}

/// What must not get a name, and whether the probe succeeds.
pub(super) fn confounders() -> Vec<(&'static str, bool, Make)> {
    fixtures! {
        "a redirect to TLS on the same host, with a certificate that nobody trusts" => true, |words| {
            let secured = Server::speaking(Speaks::Tls, |_| Reply::status(200, "OK")).await;
            Patient::serving(Speaks::Http1, |_| Reply::redirect(301, "https://10.244.0.9/health")).await.with(443, secured)
        };
        "a late answer to the first request alone" => true, |words| {
            let count = AtomicU32::new(0);
            Patient::serving(Speaks::Http1, move |_| match count.fetch_add(1, Ordering::Relaxed) {
                0 => Reply::After(second() * 2, response(200, words)),
                _ => Reply::After(second() / 50, response(200, words)),
            }).await
        };
        "a body over 10 KiB" => true, |words| Patient::serving(Speaks::Http1, |_| Reply::status(200, &"x".repeat(20_000))).await;
        "a slow answer in time" => true, |words|
            Patient::serving(Speaks::Http1, move |_| Reply::After(second() * 7 / 10, response(200, words))).await;
        "a redirect to another host, behind which the app refuses what does not come over TLS" => true, |words|
            Patient::serving(Speaks::Http1, move |r| match (host(r), header(r, "X-Forwarded-Proto")) {
                ("app.example", proto) => ok_if(proto == Some("https"), 403, words),
                _ => Reply::redirect(301, "https://app.example/health"),
            }).await;
        "a redirect to another host, which the app does not serve" => true, |words|
            Patient::serving(Speaks::Http1, move |r| match host(r) {
                "app.example" => Reply::status(421, words),
                _ => Reply::redirect(301, "https://app.example/health"),
            }).await;
        "a redirect to another host, where a server that knows it not closes" => true, |words|
            Patient::serving(Speaks::Http1, |r| match host(r).starts_with("10.244.0.9") {
                true => Reply::redirect(301, "http://app.example/health"),
                false => Reply::Bytes(Vec::new()),
            }).await;
        "a redirect to another host, behind which the app is well" => true, |words|
            Patient::serving(Speaks::Http1, |r| match host(r) {
                "app.example" => Reply::status(200, "OK"),
                _ => Reply::redirect(301, "http://app.example/health"),
            }).await;
        "a redirect to TLS, where the app does not answer" => false, |words| redirected_to_tls(|_| Reply::ThenNothing(Vec::new())).await;
        "a redirect to TLS, where the app closes" => false, |words| redirected_to_tls(|_| Reply::Bytes(Vec::new())).await;
        "502 for every Host but one, whose backend is another" => false, |words|
            unless(502, words, |r| host(r).starts_with("localhost")).await;
        "503 for a User-Agent that is no browser's, which has a cache of its own" => false, |words|
            unless(503, words, |r| r.contains("Mozilla")).await;
        "503 by the client's address, which picks a replica" => false, |words|
            unless(503, words, |r| r.peer == Ipv4Addr::new(127, 0, 0, 2)).await;
        "503 without the header of a request that works, which passes a cache" => false, |words|
            unless(503, words, |r| header(r, "Cookie").is_some()).await.works_with_header("Cookie", "session=abc");
        "404 from a cache, and none for any query" => false, |words|
            unless(404, words, |r| path(r).starts_with("/health?")).await.works_with("/health?now=17");
        "403 from a cache, and none for any query" => false, |words|
            unless(403, words, |r| path(r).starts_with("/health?")).await.works_with("/health?now=17");
        "404 from a cache for this path, but not for any query or with a slash" => false, |words|
            unless(404, words, |r| path(r).starts_with("/health?") || path(r) == "/health/").await;
        "404 from a cache that tells the age of what it stored" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/healthz" => Reply::status(200, words),
                _ => Reply::Bytes(b"HTTP/1.1 404 Not Found\r\nAge: 512\r\nContent-Length: 0\r\n\r\n".into()),
            }).await;
        "500 from a cache, but not for another Accept-Encoding" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match header(r, "Accept-Language") {
                Some(_) => Reply::status(200, words),
                None => Reply::Bytes(b"HTTP/1.1 500 X\r\nAge: 9\r\nVary: Accept-Language\r\nContent-Length: 0\r\n\r\n".into()),
            }).await;
        "403 by one of two replicas, which a balancer picks by the query" => false, |words|
            unless(403, words, |r| path(r).bytes().map(u32::from).sum::<u32>() % 2 == 0).await.works_with("/health?probe=1");
        "a port that speaks Redis and HTTP, whose health path is broken" => false, |words|
            Patient::serving(Speaks::Anything, move |r| match (r.contains("PING"), path(r)) {
                (true, _) => Reply::Bytes(b"+PONG\r\n".into()),
                (false, "/health") => Reply::Bytes(Vec::new()),
                (false, _) => Reply::status(404, words),
            }).await;
        "an app that closes each connection, beside a port that works" => false, |words| {
            let sidecar = Server::start(move |r| ok_if(path(r) == "/health", 404, words)).await;
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(Vec::new())).await.beside(9000, sidecar, "/health")
        };
        "an app that resets each connection, beside a port that answers every path" => false, |words| {
            let all = Server::start(|_| Reply::status(200, "OK")).await;
            Patient::serving(Speaks::Http1, |_| Reply::Reset).await.beside(9000, all, "/health")
        };
        "500 for everyone" => false, |words| always(500, words).await;
        "400 for everyone, by an app behind TLS that takes a client certificate from those who have one" => false, |words|
            Patient::serving(Speaks::TlsAsksForCertificates, move |r| ok_if(false, if path(r) == "/health" { 400 } else { 404 }, words))
                .await.https();
        "400 for every path, by such an app" => false, |words|
            Patient::serving(Speaks::TlsAsksForCertificates, move |_| Reply::status(400, words)).await.https();
        "403 for every path but that of the request that works, which passes a gate" => false, |words|
            unless(403, words, |r| path(r) == "/login").await.works_with("/login");
        "a port where nothing listens, beside one that answers every path" => false, |words| {
            let other = Server::start(move |_| Reply::status(200, words)).await;
            always(200, words).await.with(9102, other).elsewhere()
        };
        "a line of a log before the response" => false, |words| speaks(b"", b"listening on 8000\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        "400 for one Host of many" => false, |words| unless(400, words, |r| !host(r).starts_with("10.244.0.9")).await;
        "every second answer is late" => false, |words| {
            let count = AtomicU32::new(0);
            Patient::serving(Speaks::Http1, move |_| match count.fetch_add(1, Ordering::Relaxed) {
                0..4 => Reply::After(second() * 8 / 5, response(200, words)),
                later if later % 2 == 0 => Reply::After(second() * 8 / 5, response(200, words)),
                _ => Reply::status(200, words),
            }).await
        };
        "400 for everyone, by an app behind TLS that verifies the client certificates that it gets" => false, |words|
            Patient::serving(Speaks::TlsAsksForCertificates, move |_| Reply::status(400, words)).await.https();
        "400 for everyone, by an app behind a proxy that answers a wrong client certificate itself" => false, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, |r| match r.has_certificate {
                true => Reply::status(400, "The SSL certificate error"),
                false => Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\nX-Frame-Options: DENY\r\nContent-Length: 0\r\n\r\n".into()),
            }).await.https();
        "404 for some, and 500 for others" => false, |words|
            Patient::serving(Speaks::Http1, move |r| Reply::status(if r.earlier % 20 == 19 { 500 } else { 404 }, words)).await;
        "404 for a path that the app has, while it is in maintenance" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/health" => Reply::status(404, r#"{"status": "maintenance_mode"}"#),
                "/" => Reply::status(200, "OK"),
                _ => Reply::status(404, words),
            }).await;
        "404 for paths that the app hides from addresses, and a redirect to the login for all others" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/login" => Reply::status(200, "OK"),
                hidden if hidden.starts_with("/-/") => Reply::status(404, words),
                _ => Reply::redirect(302, "/login"),
            }).await.asking("/-/readiness");
        "401 for everyone, by an app behind TLS that takes a client certificate from those who have one" => false, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, move |_| Reply::status(401, words)).await.https();
        "403 for everyone, by an app behind TLS that takes any client certificate" => false, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, move |_| Reply::status(403, words)).await.https();
        "an app that pauses again and again" => false, |words| {
            let start = tokio::time::Instant::now();
            Patient::serving(Speaks::Http1, move |_| {
                let (period, at) = (second() * 8 / 5, start.elapsed() + second() * 2 / 5);
                let since = Duration::from_nanos((at.as_nanos() % period.as_nanos()) as u64);
                let pause = if since > second() * 3 / 10 { period - since } else { Duration::ZERO };
                Reply::After(pause, response(200, words))
            }).await
        };
        "429 for everyone, by an app that means its state" => false, |words|
            Patient::serving(Speaks::Http1, move |r| Reply::status(if path(r) == "/health" { 429 } else { 404 }, words)).await;
        "429 for everyone, by an app that leaves its state" => false, |words| {
            let begun = tokio::time::Instant::now();
            unless(429, words, move |_| begun.elapsed() > second() * 2).await
        };
        "a late 503, and then another failure" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                Reply::After(second() * 3 / 2, response(if r.earlier == 0 { 503 } else { 500 }, words))
            }).await;
        "silence for one path, by a server that answers whatever else it reads" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/health" => Reply::ThenNothing(Vec::new()),
                _ => Reply::status(200, words),
            }).await;
        "401 that another service said to the app" => false, |words|
            Patient::serving(Speaks::Http1, move |r| Reply::status(if path(r) == "/health" { 401 } else { 404 }, words)).await;
        "401 that another service said to an app that repeats the request" => false, |words|
            Patient::serving(Speaks::Http1, |r| match path(r) {
                "/health" => Reply::status(401, r),
                _ => Reply::status(404, ""),
            }).await;
        "one of two replicas is broken, and Host chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let broken = match host(r) {
                    "localhost:8000" | "unlisted.invalid:8000" => false,
                    host if host.ends_with(".invalid:8000") => is_even(host),
                    _ => true,
                };
                ok_if(!broken, 503, words)
            }).await;
        "one of two replicas is broken, and the client's address chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let IpAddr::V4(peer) = r.peer else { return Reply::Reset };
                let works = match peer.octets() {
                    [127, 0, 0, last] => last == 2,
                    octets => is_even(octets),
                };
                ok_if(works, 503, words)
            }).await;
        "one of two replicas is broken, and User-Agent chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let works = match header(r, "User-Agent") {
                    Some("kube-probe/1.36") => false,
                    Some(other) if other.starts_with("kube-probe/") => is_even(other),
                    _ => true,
                };
                ok_if(works, 403, words)
            }).await;
        "one of two replicas is broken, and the client's address in a proxy's words chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let works = header(r, "X-Forwarded-For").is_some_and(|client| client == "192.0.2.1" || is_even(client));
                ok_if(works, 503, words)
            }).await;
        "one of two replicas is broken, and a key chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let works = header(r, "X-Api-Key").is_some_and(|key| key == "probe" || is_even(key));
                ok_if(works, 400, words)
            }).await;
        "one of two replicas is broken, and a header chooses that the request that works has" => false, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| {
                let works = header(r, "X-Tenant").is_some_and(|tenant| tenant == "blue" || is_even(tenant));
                ok_if(works, 500, words)
            });
            patient.await.works_with_header("X-Tenant", "blue")
        };
        "one of two replicas is broken, and a header of the probe chooses" => false, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let works = header(r, "X-Tenant").is_none_or(|tenant| tenant != "blue" && is_even(tenant));
                ok_if(works, 500, words)
            }).await.sending("X-Tenant", "blue");
        "a response behind an empty line" => false, |words|
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(
                b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK".into())).await;
        "HTTP/2's first frame, and no other" => false, |words| speaks(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", b"").await;
        "an alert in place of a response" => false, |words| speaks(b"\x15\x03\x03\0\x02\x02\x28", b"").await;
        "500 for every path but that of the request that works" => false, |words|
            unless(500, words, |r| path(r) == "/").await.works_with("/");
        "answers that are late for half of each second" => false, |words| {
            let start = tokio::time::Instant::now();
            Patient::serving(Speaks::Http1, move |_| {
                let is_late = start.elapsed().as_millis() % second().as_millis() < (second() / 2).as_millis();
                Reply::After(if is_late { second() * 3 / 2 } else { Duration::ZERO }, response(200, words))
            }).await
        };
        "500 for the path alone, beside a request that works" => false, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/" => Reply::status(200, "OK"),
                "/health" => Reply::status(500, words),
                _ => Reply::status(404, words),
            }).await;
            patient.works_with("/")
        };
        "400 for everyone" => false, |words| always(400, words).await;
        "403 for everyone" => false, |words| always(403, words).await;
        "silence for everyone" => false, |words| Patient::serving(Speaks::Http1, |_| Reply::ThenNothing(Vec::new())).await;
        "a late answer that is wrong" => false, |words|
            Patient::serving(Speaks::Http1, move |_| Reply::After(second() * 3 / 2, response(500, words))).await;
        "resets for everyone" => false, |words| Patient::serving(Speaks::Http1, |_| Reply::Reset).await;
        "nobody listens anywhere" => false, |words| Patient::serving(Speaks::Http1, |_| Reply::Reset).await.elsewhere();
        "a limit that only the doctor reaches" => true, |words| unless(429, words, |r| r.earlier < 5).await;
        "503 for good after five probes, each of which keeps a connection" => false, |words|
            unless(503, words, |r| r.earlier < 5).await;
        "silence for good after five probes, each of which keeps a worker" => false, |words|
            Patient::serving(Speaks::Http1, move |r| match r.earlier {
                ..5 => Reply::status(200, words),
                _ => Reply::ThenNothing(Vec::new()),
            }).await;
        "503 but for five requests in a second, which the doctor alone exceeds" => true, |words| paced(second() / 5, 503, words, 0).await;
        "resets but for ten connections in a second, which the doctor alone exceeds" => true, |words|
            paced(second() / 10, 0, words, 0).await;
        "500 for what a query names, beside an unusual byte" => false, |words|
            unless(500, words, |r| !path(r).contains("=db%2C")).await.asking("/health?include=db%2Ccache");
        "403 for one part of an app, whose path has a space" => false, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/health" => Reply::status(200, "OK"),
                other if other.starts_with("/tenants/") => Reply::status(403, words),
                _ => Reply::status(404, words),
            });
            patient.await.asking("/tenants/a%20b/health").works_with("/health")
        };
        "resets for a path with an escape, and for the same without it" => false, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/health" => Reply::status(200, "OK"),
                _ => Reply::Reset,
            });
            patient.await.asking("/of/%7Edb").works_with("/health")
        };
        "504 for every path but that of the request that works" => false, |words|
            unless(504, words, |r| path(r) == "/login").await.works_with("/login");
        "403 for a query" => false, |words|
            unless(403, words, |r| !path(r).contains("verbose")).await.asking("/health?verbose=1").works_with("/health");
        "500 for the path, which another port serves well" => false, |words| {
            let other = Server::start(|r| ok_if(path(r) == "/health", 404, "")).await;
            let patient = Patient::serving(Speaks::Http1, move |r| match path(r) {
                "/health" => Reply::status(500, words),
                _ => Reply::status(404, words),
            });
            patient.await.beside(9000, other, "/health")
        };
        "403 once an address has used up its large quota" => false, |words| limited(150, 403, words, |r| r.peer.to_string()).await;
        "503 once an address has used up its large quota" => false, |words| limited(150, 503, words, |r| r.peer.to_string()).await;
        "403 once a token has used up its large quota" => false, |words|
            limited(150, 403, words, |r| header(r, "X-Tenant").unwrap_or_default().to_owned()).await.sending("X-Tenant", "a");
        "400 once a Host has used up its large quota" => false, |words| limited(150, 400, words, |r| host(r).to_owned()).await;
        "403 once a User-Agent has used up its large quota" => false, |words|
            limited(150, 403, words, |r| header(r, "User-Agent").unwrap_or_default().to_owned()).await;
        "401 once an address without a token has used up its large quota" => false, |words|
            limited(150, 401, words, |r| header(r, "Authorization").map_or_else(|| r.peer.to_string(), str::to_owned)).await;
        "something that ended after the first request" => false, |words| unless(503, words, |r| r.earlier > 0).await;
        "a redirect to where users sign in" => true, |words|
            Patient::serving(Speaks::Http1, move |r| match host(r) {
                "login.example" => Reply::status(404, words),
                _ => Reply::redirect(302, "https://login.example/oauth?to=/health"),
            }).await;
        "silence once a Host has used up its quota" => false, |words| {
            Patient::serving(Speaks::Http1, move |r| match host(r).starts_with("10.244.0.9") {
                true => Reply::ThenNothing(Vec::new()),
                false => Reply::status(200, words),
            }).await
        };
        "404 over HTTP/2 alone" => false, |words| Patient::serving(Speaks::Http2, move |_| Reply::status(404, words)).await;
        "404 over HTTP/2 and TLS for everyone, asked without TLS" => false, |words|
            Patient::serving(Speaks::TlsHttp2, move |_| Reply::status(404, words)).await;
        "a grpc probe of a port that speaks HTTP/2" => false, |words|
            Patient::serving(Speaks::Http2, move |_| Reply::status(404, words)).await.grpc("");
        "a grpc probe of a server that picks a virtual host by the authority" => false, |words|
            Patient::serving(Speaks::Grpc, |r| Reply::status(if host(r).starts_with("localhost") { 200 } else { 404 }, "")).await.grpc("");
        "a tcpSocket probe beside a port that listens" => false, |words| {
            let mut patient = always(200, "").await;
            patient.target.ports.insert(9000, patient.target.ports[&8000]);
            patient.changed(|case| case.probe.action = ProbeAction::TcpSocket { host: None, port: 8000 }).elsewhere()
        };
        "a port that answers everything" => false, |words| {
            let all = Server::start(|_| Reply::status(200, "")).await;
            always(500, words).await.with(9000, all)
        };
        "a port of another container" => false, |words| {
            let sidecar = Server::start(move |r| ok_if(path(r) == "/health", 404, words)).await;
            let patient = always(200, "").await.with(9000, sidecar).elsewhere();
            patient.known(Known { ports_of_others: vec![9000], ..Known::default() })
        };
        "a body that is not in the announced chunks" => false, |words|
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nOK all fine\n".into())).await;
        "a status line without a status" => false, |words|
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nOK".into())).await;
        "503 now and again, for seconds" => false, |words| {
            let start = tokio::time::Instant::now();
            let is_up = move || (second() * 5 / 2..second() * 17 / 2).contains(&start.elapsed());
            let patient = unless(503, words, move |_| is_up()).await;
            patient.known(Known { may_be_starting: true, ..Known::default() })
        };
        "503 while the app starts, and 403 from then on" => false, |words| {
            let start = tokio::time::Instant::now();
            let status = move || if start.elapsed() < second() * 3 { 503 } else { 403 };
            let patient = Patient::serving(Speaks::Http1, move |_| Reply::status(status(), words)).await;
            patient.known(Known { may_be_starting: true, ..Known::default() })
        };
        "an app that starts and ends again and again" => false, |words| comes_and_goes().await;
    }
    .to_vec()
}
