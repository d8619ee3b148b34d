//! The fixtures of the score that have a cause, without a request that works. Main function: [`causes`].

use super::{
    patients::{
        always, answers_anything, behind_a_middlebox, debugged, drips, limited, now_and_then, ok_if, on_ipv6_alone,
        on_two_addresses, opens_later, paced, path, pauses, repeats, speaks, starts, understands, unless,
    },
    *,
};

/// Causes, with servers that really behave so.
pub(super) fn causes() -> Vec<(&'static str, Cause, Make)> {
    fixtures! {
        "400 for an unknown Host" => Cause::HostAllowList, |words| unless(400, words, |r| host(r) == "localhost:8000").await;
        "400 for a Host that the certificate lacks, by an app that takes client certificates" => Cause::HostAllowList, |words|
            Patient::serving(Speaks::TlsAsksForCertificates, move |r| ok_if(host(r).starts_with("app.example"), 400, words)).await.https();
        "400 for an unknown Host, by a cold app whose first answer is late" => Cause::HostAllowList, |words| {
            let count = AtomicU32::new(0);
            Patient::serving(Speaks::Http1, move |r| match (count.fetch_add(1, Ordering::Relaxed), host(r)) {
                (0, _) => Reply::After(second() * 13 / 10, response(400, words)),
                (_, host) => ok_if(host.starts_with("localhost"), 400, words),
            }).await
        };
        "404 for this path, beside a probe of a page of the server in front and a customary path" => Cause::MethodOrPath, |words|
            unless(404, words, |r| matches!(path(r), "/healthz" | "/nginx-health")).await
                .known(Known { paths: vec!["/nginx-health".to_owned()], ..Known::default() });
        "403 for an unknown Host" => Cause::HostAllowList, |words| unless(403, words, |r| host(r) == "127.0.0.1:8000").await;
        "421 for an unknown Host" => Cause::HostAllowList, |words| unless(421, words, |r| host(r) == "backend:8000").await;
        "404 from the default of name-based hosts" => Cause::HostAllowList, |words|
            unless(404, words, |r| host(r).starts_with("localhost")).await;
        "a closed connection for an unknown Host" => Cause::HostAllowList, |words|
            Patient::serving(Speaks::Http1, |r| match host(r) == "localhost:8000" {
                true => Reply::status(200, "OK"),
                false => Reply::Bytes(Vec::new()),
            }).await;
        "a Host with an underscore" => Cause::HostSyntax, |words|
            unless(400, words, |r| !host(r).contains('_')).await.sending("Host", "my_upstream");
        "400 without the certificate's name" => Cause::SniRequired, |words|
            Patient::serving(Speaks::Tls, move |r| ok_if(r.server_name.as_deref() == Some("app.example"), 400, words)).await.https();
        "an alert without a name" => Cause::SniRequired, |words|
            Patient::serving(Speaks::TlsForNames, |_| Reply::status(200, "OK")).await.https();
        "a TLS port that answers 400 in plain text" => Cause::PlainToTls, |words|
            Patient::serving(Speaks::Tls, |_| Reply::status(200, "OK")).await;
        "a plain port that waits for the rest of a request" => Cause::TlsToPlain, |words| always(200, "OK").await.https();
        "a plain port that answers 400 to a handshake" => Cause::TlsToPlain, |words| answers_anything(words, "GET ").await;
        "HTTP/2 without TLS" => Cause::Http1ToHttp2Only, |words| Patient::serving(Speaks::Http2, |_| Reply::status(200, "OK")).await;
        "a gRPC server" => Cause::Http1ToHttp2Only, |words| Patient::serving(Speaks::Grpc, |_| Reply::status(200, "OK")).await;
        "a PROXY header is expected" => Cause::ProxyProtocolExpected, |words|
            Patient::serving(Speaks::ProxyThenHttp1, |_| Reply::status(200, "OK")).await;
        "431 for a long cookie" => Cause::HeaderTooLarge, |words|
            unless(431, words, |r| r.len() < 1000).await.sending("Cookie", &"c".repeat(2000));
        "431 for long headers, each of which is short enough" => Cause::HeaderTooLarge, |words| {
            let patient = unless(431, words, |r| r.len() < 3000).await;
            ["X-A", "X-B", "X-C", "X-D", "X-E"].into_iter().fold(patient, |patient, name| patient.sending(name, &"x".repeat(1000)))
        };
        "400 for more than five headers" => Cause::HeaderTooLarge, |words|
            unless(400, words, |r| r.matches(": ").count() <= 5).await.sending("X-Team", "a").sending("X-Stage", "b");
        "400 for one of two headers of the probe" => Cause::HeaderRefused, |words|
            unless(400, words, |r| header(r, "X-Odd").is_none()).await.sending("X-Odd", "1").sending("X-Stage", "b");
        "400 for one of two headers of the probe, of which the other one is required" => Cause::HeaderRefused, |words|
            unless(400, words, |r| header(r, "X-Odd").is_none() && header(r, "X-Stage").is_some()).await
                .sending("X-Odd", "1").sending("X-Stage", "b");
        "431 for a long cookie beside a header that is required" => Cause::HeaderTooLarge, |words|
            unless(431, words, |r| r.len() < 1000 && header(r, "X-Stage").is_some()).await
                .sending("Cookie", &"c".repeat(2000)).sending("X-Stage", "b");
        "403 for the kubelet's User-Agent" => Cause::HeaderRefused, |words| unless(403, words, |r| !r.contains("kube-probe")).await;
        "403 for what a header of the probe says" => Cause::HeaderRefused, |words|
            unless(403, words, |r| header(r, "X-Forwarded-Proto") != Some("http")).await.sending("X-Forwarded-Proto", "http");
        "400 for every header that the app does not know" => Cause::HeaderRefused, |words|
            unless(400, words, |r| !r.contains("\r\nX-")).await.sending("X-Odd", "1");
        "400 for a header of the probe" => Cause::HeaderRefused, |words|
            unless(400, words, |r| header(r, "X-Odd").is_none()).await.sending("X-Odd", "1");
        "braces in the query" => Cause::MalformedPath, |words|
            unless(400, words, |r| !path(r).contains('{')).await.asking("/health?of={db}");
        "a percent sign that escapes nothing" => Cause::MalformedPath, |words|
            unless(400, words, |r| !path(r).ends_with('%')).await.asking("/health?share=100%");
        "an escaped slash" => Cause::MalformedPath, |words| unless(400, words, |r| !path(r).contains("%2F")).await.asking("/health%2Fdb");
        "403 without X-Forwarded-Proto" => Cause::MissingHeader, |words|
            unless(403, words, |r| header(r, "X-Forwarded-Proto").is_some()).await;
        "400 without Accept-Language" => Cause::MissingHeader, |words| unless(400, words, |r| header(r, "Accept-Language").is_some()).await;
        "401 with a challenge, on this path alone" => Cause::MissingHeader, |words|
            Patient::serving(Speaks::Http1, |r| match path(r) {
                "/health" => Reply::Bytes(
                    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".into()),
                _ => Reply::status(404, ""),
            }).await;
        "401 that heeds a token, on this path alone" => Cause::MissingHeader, |words|
            Patient::serving(Speaks::Http1, |r| match (path(r), header(r, "Authorization")) {
                ("/health", None) => Reply::status(401, "no token"),
                ("/health", _) => Reply::status(401, "another token"),
                _ => Reply::status(404, ""),
            }).await;
        "401 without a token that nobody knows" => Cause::MissingHeader, |words|
            unless(401, words, |r| header(r, "Authorization") == Some("Bearer s3cret")).await;
        "404 for everyone" => Cause::MethodOrPath, |words| always(404, words).await;
        "404 for everyone, with the time and the path" => Cause::MethodOrPath, |words|
            Patient::serving(Speaks::Http1, |r| Reply::status(404, &format!(r#"{{"at": "12:00:{}", "path": "{}"}}"#, r.earlier, path(r))))
                .await.asking("/api/health");
        "404 for everyone, with another page each time" => Cause::MethodOrPath, |words|
            Patient::serving(Speaks::Http1, |r| Reply::status(404, if r.earlier % 2 == 0 { "Lost?" } else { "Nothing is here" })).await;
        "404 for a directory, by an app that answers every other path" => Cause::MethodOrPath, |words|
            unless(404, words, |r| !path(r).starts_with("/api/")).await.asking("/api/health");
        "405 for everyone" => Cause::MethodOrPath, |words| always(405, words).await;
        "404 for a path with a space at its end" => Cause::MethodOrPath, |words|
            unless(404, words, |r| path(r) == "/actuator/health").await.asking("/actuator/health%20");
        "400 for a doubled slash" => Cause::MalformedPath, |words|
            unless(400, words, |r| path(r) == "/actuator/health").await.asking("/actuator//health");
        "400 for a path's parameter" => Cause::MalformedPath, |words|
            unless(400, words, |r| !path(r).contains(';')).await.asking("/health;jsessionid=A1");
        "400 for dots in the path" => Cause::MalformedPath, |words|
            unless(400, words, |r| path(r) == "/health").await.asking("/static/../health");
        "404 without a proxy's header that reports TLS" => Cause::MissingHeader, |words|
            unless(404, words, |r| header(r, "X-Forwarded-Proto") == Some("https")).await;
        "405 for a User-Agent that is no browser's" => Cause::HeaderRefused, |words| unless(405, words, |r| r.contains("Mozilla")).await;
        "500 without Accept-Language" => Cause::MissingHeader, |words| unless(500, words, |r| header(r, "Accept-Language").is_some()).await;
        "404 beside the right path" => Cause::MethodOrPath, |words| unless(404, words, |r| path(r) == "/healthz").await;
        "nobody listens, and another port answers" => Cause::WrongPort, |words| {
            let mut patient = unless(404, words, |r| path(r) == "/health").await;
            let address = patient.target.ports[&8000];
            patient.target.ports.insert(9000, address);
            patient.elsewhere()
        };
        "a listener on 127.0.0.1 alone" => Cause::BoundToLoopback, |words| {
            // All of 127.0.0.0/8 is this machine's, and the listener has one address of it.
            always(200, "OK").await.dialled_at([127, 0, 0, 9])
        };
        "403 for a User-Agent that is no browser's" => Cause::HeaderRefused, |words| unless(403, words, |r| r.contains("Mozilla")).await;
        "silence for an unknown Host" => Cause::HostAllowList, |words|
            Patient::serving(Speaks::Http1, |r| match host(r).starts_with("localhost") {
                true => Reply::status(200, "OK"),
                false => Reply::ThenNothing(Vec::new()),
            }).await;
        "405 beside an app that answers every other path" => Cause::MethodOrPath, |words|
            unless(405, words, |r| !path(r).starts_with("/health")).await;
        "403 by the client's address" => Cause::SourceBlocked, |words| unless(403, words, |r| r.peer == Ipv4Addr::new(127, 0, 0, 2)).await;
        "400 for every Host with a port" => Cause::HostSyntax, |words| unless(400, words, |r| !host(r).contains(':')).await;
        "421 for every Host but a name without its port" => Cause::HostAllowList, |words|
            unless(421, words, |r| host(r) == "localhost").await;
        "403 for the Host, and for the kubelet's User-Agent" => Cause::HostAllowList, |words|
            unless(403, words, |r| host(r) == "localhost:8000" && !r.contains("kube-probe")).await;
        "403 without a proxy's X-Forwarded-For" => Cause::MissingHeader, |words|
            unless(403, words, |r| header(r, "X-Forwarded-For").is_some()).await;
        "400 without Accept-Language, by an app that refuses a token that it does not know" => Cause::MissingHeader, |words|
            Patient::serving(Speaks::Http1, move |r| match header(r, "Authorization") {
                Some(_) => Reply::status(401, words),
                None => ok_if(header(r, "Accept-Language").is_some(), 400, words),
            }).await;
        "401 that heeds a key, on this path alone" => Cause::MissingHeader, |words|
            Patient::serving(Speaks::Http1, |r| match (path(r), header(r, "X-Api-Key")) {
                ("/health", None) => Reply::status(401, "no key"),
                ("/health", _) => Reply::status(403, "another key"),
                _ => Reply::status(404, ""),
            }).await;
        "403 without a client certificate, by an app that takes any" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, move |r| ok_if(r.has_certificate, 403, words)).await.https();
        "a PROXY header is expected before TLS" => Cause::ProxyProtocolExpected, |words|
            Patient::serving(Speaks::ProxyThenTls, |_| Reply::status(200, "OK")).await.https();
        "404 by the client's address" => Cause::SourceBlocked, |words| unless(404, words, |r| r.peer == Ipv4Addr::new(127, 0, 0, 2)).await;
        "400 by the client's address" => Cause::SourceBlocked, |words| unless(400, words, |r| r.peer == Ipv4Addr::new(127, 0, 0, 2)).await;
        "401 with a challenge, by the client's address" => Cause::SourceBlocked, |words|
            Patient::serving(Speaks::Http1, move |r| match r.peer == Ipv4Addr::new(127, 0, 0, 2) {
                true => Reply::status(200, "OK"),
                false => Reply::Bytes(
                    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n".into()),
            }).await;
        "429 for every client and every path" => Cause::RateLimited, |words| always(429, words).await;
        "an app that fails for the first half of each second" => Cause::Flaky, |words| {
            let start = tokio::time::Instant::now();
            let is_well = move || start.elapsed().as_millis() % second().as_millis() > (second() / 2).as_millis();
            unless(500, words, move |_| is_well()).await
        };
        "a grpc probe of a server that does not serve until it has started" => Cause::NotStarted, |words|
            starts(Speaks::Grpc, 503, words).await.grpc("");
        "a grpc probe of a port that opens after a while" => Cause::NotStarted, |words|
            opens_later(Speaks::Grpc, second() * 5 / 2).await.grpc("");
        "a grpc probe without a service, of a server that knows services alone" => Cause::UnknownService, |words|
            Patient::serving(Speaks::Grpc, |r| Reply::status(if header(r, "service") == Some("db") { 200 } else { 410 }, ""))
                .await.grpc("");
        "a redirect in a circle" => Cause::RedirectElsewhere, |words|
            Patient::serving(Speaks::Http1, |_| Reply::redirect(302, "/health")).await;
        "a redirect to itself until a proxy says TLS" => Cause::RedirectElsewhere, |words|
            Patient::serving(Speaks::Http1, |r| match header(r, "X-Forwarded-Proto") {
                Some(_) => Reply::status(200, "OK"),
                None => Reply::redirect(301, "/health"),
            }).await;
        "a redirect to another host that hides a broken app" => Cause::RedirectElsewhere, |words|
            Patient::serving(Speaks::Http1, move |r| match host(r) {
                "app.example" => Reply::status(500, words),
                _ => Reply::redirect(301, "http://app.example/health"),
            }).await;
        "an answer after the timeout" => Cause::TooSlow, |words|
            Patient::serving(Speaks::Http1, move |_| Reply::After(second() * 3 / 2, response(200, words))).await;
        "answers that take about as long as the timeout" => Cause::TooSlow, |words|
            Patient::serving(Speaks::Http1, move |r| {
                let tenths = if r.earlier % 5 < 2 { 7 } else { 13 };
                Reply::After(second() * tenths / 10, response(200, words))
            }).await;
        "a late answer after each pause of two seconds" => Cause::TooSlow, |words| {
            let last = std::sync::Mutex::new(None::<tokio::time::Instant>);
            let patient = Patient::serving(Speaks::Http1, move |_| {
                let last = last.lock().unwrap().replace(tokio::time::Instant::now());
                match last.is_none_or(|last| last.elapsed() > second() * 2) {
                    true => Reply::After(second() * 3 / 2, response(200, words)),
                    false => Reply::status(200, words),
                }
            });
            patient.await.changed(|case| case.probe.period = second() * 4)
        };
        "a body that arrives slowly" => Cause::TooSlow, |words| drips().await;
        "a body that arrives after four seconds" => Cause::TooSlow, |words|
            pauses(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"OK").await;
        "a body without a length that ends after four seconds" => Cause::TooSlow, |words|
            pauses(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n", b"0\r\n\r\n").await;
        "a port that opens after a while" => Cause::NotStarted, |words| opens_later(Speaks::Http1, second() * 7 / 10).await;
        "503 after the timeout, for everyone" => Cause::Unavailable, |words|
            Patient::serving(Speaks::Http1, move |_| Reply::After(second() * 3 / 2, response(503, words))).await;
        "503 until the app has started" => Cause::NotStarted, |words| starts(Speaks::Http1, 503, words).await;
        "500 until the app has started" => Cause::NotStarted, |words| starts(Speaks::Http1, 500, words).await;
        "404 until the app has been deployed" => Cause::NotStarted, |words| starts(Speaks::Http1, 404, words).await;
        "404 until the app has been deployed, beside a path that is there at once" => Cause::NotStarted, |words| {
            let start = tokio::time::Instant::now();
            let is_up = move |r: &Request| path(r) == "/ready" || path(r) == "/health" && start.elapsed() > second() * 5 / 2;
            let patient = unless(404, words, is_up).await;
            patient.known(Known { may_be_starting: true, paths: vec!["/ready".into()], ..Known::default() })
        };
        "503 for everyone" => Cause::Unavailable, |words| always(503, words).await;
        "503 for everyone, and Redis is away" => Cause::DependencyDown, |words|
            always(503, words).await.known(Known { away: vec!["redis".to_owned()], ..Known::default() });
        "429 for everyone, with the time of the next request" => Cause::RateLimited, |words|
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(
                b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n".into())).await;
        "429 for one address" => Cause::RateLimited, |words| unless(429, words, |r| r.peer != Ipv4Addr::LOCALHOST).await;
        "503 once an address has used up a quota of one" => Cause::RateLimited, |words|
            limited(1, 503, words, |r| r.peer.to_string()).await;
        "403 once an address has used up its quota" => Cause::RateLimited, |words| limited(20, 403, words, |r| r.peer.to_string()).await;
        "404 once an address has used up its quota" => Cause::RateLimited, |words| limited(20, 404, words, |r| r.peer.to_string()).await;
        "400 once a Host has used up its quota" => Cause::RateLimited, |words| limited(20, 400, words, |r| host(r)[..2].to_owned()).await;
        "403 once each Host has used up its own quota" => Cause::RateLimited, |words| limited(20, 403, words, |r| host(r).to_owned()).await;
        "403 once a User-Agent has used up its quota" => Cause::RateLimited, |words|
            limited(20, 403, words, |r| header(r, "User-Agent").unwrap_or_default().to_owned()).await;
        "401 once those without a token have used up their quota" => Cause::RateLimited, |words|
            limited(20, 401, words, |r| header(r, "Authorization").unwrap_or_default().to_owned()).await;
        "429 for everyone who asks soon after another" => Cause::RateLimited, |words| {
            let last = std::sync::Mutex::new(tokio::time::Instant::now());
            Patient::serving(Speaks::Http1, move |_| {
                let now = tokio::time::Instant::now();
                let quiet = now - std::mem::replace(&mut *last.lock().unwrap(), now);
                ok_if(quiet > second() / 2, 429, words)
            }).await
        };
        "429 for everyone, but for a few requests in a second" => Cause::RateLimited, |words| {
            let last = std::sync::Mutex::new(tokio::time::Instant::now());
            Patient::serving(Speaks::Http1, move |_| {
                let (now, mut last) = (tokio::time::Instant::now(), last.lock().unwrap());
                let accepts = now - *last > second() / 3;
                *last = if accepts { now } else { *last };
                ok_if(accepts, 429, words)
            }).await
        };
        "429 but for every ninth request" => Cause::RateLimited, |words| unless(429, words, |r| r.earlier % 9 == 8).await;
        "a redirect to TLS until a proxy says so" => Cause::RedirectToHttps, |words|
            Patient::serving(Speaks::Http1, |r| match header(r, "X-Forwarded-Proto") {
                Some("https") => Reply::status(200, "OK"),
                _ => Reply::redirect(301, "https://10.244.0.9:8000/health"),
            }).await;
        "a redirect to TLS until a proxy on this machine says so" => Cause::RedirectToHttps, |words|
            patients::believes_this_machine().await;
        "a redirect to TLS in a circle until a proxy says so" => Cause::RedirectToHttps, |words|
            Patient::serving(Speaks::Tls, |r| match header(r, "X-Forwarded-Proto") {
                Some("https") => Reply::status(200, "OK"),
                _ => Reply::redirect(301, "https://10.244.0.9:8000/health"),
            }).await.https();
        "a redirect to TLS, to a port that waits for more" => Cause::RedirectToHttps, |words| {
            let silent = Server::start(|_| Reply::status(200, "")).await;
            Patient::serving(Speaks::Http1, |_| Reply::redirect(301, "https://10.244.0.9:8001/health")).await.with(8001, silent)
        };
        "a redirect to a port on which nothing listens" => Cause::RedirectToHttps, |words| {
            let mut patient =
                Patient::serving(Speaks::Http1, |_| Reply::redirect(308, "https://10.244.0.9/health")).await;
            patient.target.ports.insert(443, closed_port());
            patient
        };
        "a redirect to TLS, which another port speaks" => Cause::RedirectToHttps, |words| {
            let secured = Server::speaking(Speaks::Tls, |_| Reply::status(200, "OK")).await;
            let redirects = Patient::serving(Speaks::Http1, |_| Reply::redirect(301, "https://10.244.0.9/health"));
            let mut patient = redirects.await.with(8443, secured);
            patient.target.ports.insert(443, closed_port());
            patient
        };
        "a slash that leads from TLS to plain HTTP" => Cause::MethodOrPath, |words|
            Patient::serving(Speaks::Tls, |r| match path(r) {
                "/health/" => Reply::status(200, "OK"),
                _ => Reply::redirect(307, "http://10.244.0.9:8000/health/"),
            }).await.https();
        "an unknown Host, and a redirect to TLS behind it" => Cause::HostAllowList, |words|
            Patient::serving(Speaks::Http1, move |r| match (host(r), header(r, "X-Forwarded-Proto")) {
                ("localhost:8000", Some("https")) => Reply::status(200, "OK"),
                ("localhost:8000", _) => Reply::redirect(301, "https://localhost:8000/health"),
                _ => Reply::status(400, words),
            }).await;
        "an alert for want of a client certificate" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsForCertificates, |_| Reply::status(200, "OK")).await.https();
        "a TLS port that insists on a client certificate, asked without TLS" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsForCertificates, |_| Reply::status(200, "OK")).await;
        "a grpc probe of a port that insists on a client certificate" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsForCertificates, |_| Reply::status(200, "OK")).await.grpc("");
        "495 for want of a client certificate" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, move |_| Reply::status(495, words)).await.https();
        "400 for want of a client certificate, as nginx says it" => Cause::ClientCertificateRequired, |words|
            Patient::serving(Speaks::TlsTakesAnyCertificate, |_| Reply::status(400, "No required SSL certificate was sent")).await.https();
        "AMQP" => Cause::NotHttp, |words| speaks(b"", b"AMQP\0\0\x09\x01").await;
        "MySQL, which speaks first" => Cause::NotHttp, |words| speaks(b"J\0\0\0\x0a8.0.36\0", b"").await;
        "SSH" => Cause::NotHttp, |words| speaks(b"SSH-2.0-OpenSSH_9.2p1\r\n", b"").await;
        "FastCGI, which closes" => Cause::NotHttp, |words| understands(b"\x01\x09", b"\x01\x0a\0\0\0\0\0\0", false).await;
        "PostgreSQL, which closes" => Cause::NotHttp, |words| understands(b"\0\0\0\x08\x04\xd2", b"N", false).await;
        "JDWP, which closes" => Cause::NotHttp, |words| understands(b"JDWP-Handshake", b"JDWP-Handshake", false).await;
        "JDWP, of a JVM that serves one debugger at a time" => Cause::NotHttp, |words| debugged().await;
        "Java RMI, which closes" => Cause::NotHttp, |words| understands(b"JRMI\0\x02\x4b", b"\x4e\0\x09127.0.0.1\0\0\x80\x64", false).await;
        "DNS, which waits for more" => Cause::NotHttp, |words|
            understands(b"\0\x1e\x65\x32\x01\0", b"\0\x0c\x65\x32\x81\x05\0\0\0\0\0\0\0\0", true).await;
        "SOCKS5, which closes" => Cause::NotHttp, |words| understands(b"\x05\x01\0", b"\x05\xff", false).await;
        "something that repeats what it hears" => Cause::NotHttp, |words| repeats().await;
        "uwsgi, which closes" => Cause::NotHttp, |words| understands(b"\0\x66\0\0\x0e\0REQUEST_METHOD", b"UWSGI/1 404 Not Found\r\n\r\n", false).await;
        "AJP, which closes" => Cause::NotHttp, |words| understands(b"\x12\x34\0\x01\x0a", b"AB\0\x01\x09", false).await;
        "CQL, which closes" => Cause::NotHttp, |words| understands(b"\x04\0\0\0\x05", b"\x84\0\0\0\x06\0\0\0\x02\0\0", false).await;
        "a protocol that waits for more" => Cause::NotHttp, |words| understands(b"\0\0\0\x08\x04\xd2", b"S", true).await;
        "lines that are no response" => Cause::NotHttp, |words| speaks(b"", b"what?\r\n").await;
        "a port that answers from another path alone" => Cause::WrongPort, |words| {
            let manage = Server::start(|r| ok_if(path(r) == "/health", 404, "")).await;
            always(404, words).await.with(9000, manage)
        };
        "a listener on IPv6 alone" => Cause::Ipv6Only, |words| {
            let server = Server::on(on_ipv6_alone(), Speaks::Http1, |_| Reply::status(200, "OK"));
            Patient::of(server).dialled_at(Ipv4Addr::LOCALHOST)
        };
        "a listener on IPv4 alone" => Cause::Ipv4Only, |words|
            on_two_addresses(|_| Reply::status(200, "OK")).await.dialled_at(Ipv6Addr::LOCALHOST);
        "a tcpSocket probe of a listener on 127.0.0.1 alone" => Cause::BoundToLoopback, |words| {
            let patient = always(200, "OK").await.dialled_at([127, 0, 0, 9]);
            patient.changed(|case| case.probe.action = ProbeAction::TcpSocket { host: None, port: 8000 })
        };
        "a listener on 127.0.0.1 alone, asked over IPv6" => Cause::BoundToLoopback, |words|
            always(200, "OK").await.dialled_at(Ipv6Addr::LOCALHOST);
        "a stream of events" => Cause::EndlessResponse, |words|
            Patient::serving(Speaks::Http1, |_| Reply::ThenNothing(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ntick\n\n\r\n".into())).await;
        "every other request fails" => Cause::Flaky, |words| now_and_then(words, 2, 0).await;
        "503 but for five requests in a second, which others have used up" => Cause::RateLimited, |words|
            paced(second() / 5, 503, words, 1).await;
        "one request of five succeeds" => Cause::Flaky, |words| now_and_then(words, 5, 0).await;
        "one request of five fails" => Cause::Flaky, |words| {
            let count = AtomicU32::new(0);
            let fails = move |_: &Request| ok_if(count.fetch_add(1, Ordering::Relaxed) % 5 != 3, 503, words);
            Patient::serving(Speaks::Http1, fails).await
        };
        "an app that fails for a tenth of a second, twice a second" => Cause::Flaky, |words| {
            let start = tokio::time::Instant::now();
            let is_well = move || start.elapsed().as_millis() % (second() / 2).as_millis() < (second() * 4 / 10).as_millis();
            unless(500, words, move |_| is_well()).await
        };
        "the first two of three fail" => Cause::Flaky, |words| now_and_then(words, 3, 2).await;
        "gRPC that says NOT_SERVING" => Cause::Http1ToHttp2Only, |words| Patient::serving(Speaks::Grpc, |_| Reply::status(503, "")).await;
        "gRPC without a health service" => Cause::Http1ToHttp2Only, |words|
            Patient::serving(Speaks::Grpc, |_| Reply::status(404, "")).await;
        "a grpc probe to a server that does not serve" => Cause::Unavailable, |words|
            Patient::serving(Speaks::Grpc, |_| Reply::status(503, "")).await.grpc("");
        "a grpc probe of a service that nobody knows" => Cause::UnknownService, |words|
            Patient::serving(Speaks::Grpc, |r| Reply::status(if header(r, "service") == Some("db") { 404 } else { 200 }, ""))
                .await.grpc("db");
        "a grpc probe of a service that nobody knows, of a server that does not serve" => Cause::UnknownService, |words|
            Patient::serving(Speaks::Grpc, |r| Reply::status(if header(r, "service") == Some("db") { 404 } else { 503 }, ""))
                .await.grpc("db");
        "a grpc probe of a server without the health service" => Cause::NoHealthService, |words|
            Patient::serving(Speaks::Grpc, |_| Reply::status(404, "")).await.grpc("");
        "a grpc probe of a port that speaks TLS" => Cause::GrpcOverTls, |words|
            Patient::serving(Speaks::TlsGrpc, |_| Reply::status(200, "")).await.grpc("");
        "gRPC over TLS, asked over HTTPS" => Cause::GrpcOverTls, |words|
            Patient::serving(Speaks::TlsGrpc, |_| Reply::status(200, "")).await.https();
        "404 over HTTP/2 and TLS, asked without TLS" => Cause::PlainToTls, |words|
            Patient::serving(Speaks::TlsHttp2, |r| ok_if(path(r) == "/health", 404, "")).await;
        "a grpc probe of one service that does not serve" => Cause::Unavailable, |words|
            Patient::serving(Speaks::Grpc, |r| Reply::status(if header(r, "service") == Some("db") { 503 } else { 200 }, ""))
                .await.grpc("db");
        "a grpc probe that is answered late" => Cause::TooSlow, |words|
            Patient::serving(Speaks::Grpc, |_| Reply::After(second() * 3 / 2, response(200, ""))).await.grpc("");
        "a grpc probe of a listener on 127.0.0.1 alone" => Cause::BoundToLoopback, |words|
            Patient::serving(Speaks::Grpc, |_| Reply::status(200, "")).await.grpc("").dialled_at([127, 0, 0, 9]);
        "a body that ends early" => Cause::TruncatedResponse, |words|
            Patient::serving(Speaks::Http1, |_| Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into())).await;
        "a body that stalls" => Cause::TruncatedResponse, |words|
            Patient::serving(Speaks::Http1, |_| Reply::ThenNothing(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into())).await;
        "a middlebox that drops Host" => Cause::Http10OrMissingHost, |words| behind_a_middlebox(words).await;
    }
    .to_vec()
}
