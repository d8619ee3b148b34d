//! The fixtures of the score that have a cause and a request that works. Main function: [`beside_works`].

use super::{
    patients::{host, ok_if, on_two_addresses, path},
    *,
};

/// Causes beside a request that works, with servers that really behave so.
pub(super) fn beside_works() -> Vec<(&'static str, Cause, Make)> {
    fixtures! {
        "400 for the Host, and 404 for the path behind it" => Cause::HostAllowList, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| match (host(r), path(r)) {
                ("app.example", "/api/health") => Reply::status(200, "OK"),
                ("app.example", _) => Reply::status(404, words),
                _ => Reply::status(400, words),
            }).await;
            let (address, host, target) = (patient.target.ports[&8000], "app.example".to_owned(), "/api/health".to_owned());
            patient.known(Known { works: Some(WorkingRequest { address, https: false, host, target, headers: Vec::new() }), ..Known::default() })
        };
        "403 without the token of a request that works" => Cause::MissingHeader, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(path(r).contains("token="), 403, words));
            patient.await.works_with("/health?token=t")
        };
        "403 without a header of the request that works, whatever it says" => Cause::MissingHeader, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(header(r, "X-Tenant").is_some(), 403, words));
            patient.await.works_with_header("X-Tenant", "blue")
        };
        "403 without what a header of the request that works says" => Cause::MissingHeader, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(header(r, "X-Tenant") == Some("blue"), 403, words));
            patient.await.works_with_header("X-Tenant", "blue")
        };
        "nobody listens, and another port wants credentials" => Cause::WrongPort, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(header(r, "Authorization").is_some(), 401, words));
            patient.await.works_with_header("Authorization", "Basic c2VjcmV0").elsewhere()
        };
        "404 without the token of a request that works" => Cause::MissingHeader, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(path(r).contains("token="), 404, words));
            patient.await.works_with("/health?token=t")
        };
        "401 for a path with a space, and for the same without it" => Cause::MissingHeader, |words| {
            let patient = Patient::serving(Speaks::Http1, move |r| ok_if(path(r) == "/health", 401, words)).await;
            patient.asking("/tenants/a%20b/health").works_with("/health")
        };
        "braces in the path, where the request that works has none" => Cause::MalformedPath, |words| {
            let is_odd = |path: &str| path.contains('{') || path.contains("%7B");
            let status = move |path: &str| if path == "/health" { 200 } else if is_odd(path) { 400 } else { 404 };
            let patient = Patient::serving(Speaks::Http1, move |r| Reply::status(status(path(r)), words)).await;
            patient.asking("/of/{db}").works_with("/health")
        };
        "a port and a scheme of their own" => Cause::WrongPort, |words| {
            let secured = Server::speaking(Speaks::Tls, |r| ok_if(path(r) == "/health", 404, "")).await;
            let patient = Patient::serving(Speaks::Http1, move |_| Reply::status(404, words)).await;
            let (host, target) = ("localhost:8443".to_owned(), "/health".to_owned());
            let works = WorkingRequest { address: secured.address, https: true, host, target, headers: Vec::new() };
            let mut patient = patient.known(Known { works: Some(works), ..Known::default() });
            patient.servers.push(secured);
            patient
        };
        "400 for the Host, where the request that works goes to another address" => Cause::HostAllowList, |words|
            on_two_addresses(move |r| ok_if(host(r).starts_with("localhost"), 400, words)).await.works_with("/health")
                .dialling_another_address();
        "404 for the path, where the request that works goes to another address" => Cause::MethodOrPath, |words|
            on_two_addresses(move |r| ok_if(path(r) == "/api/health", 404, words)).await.works_with("/api/health")
                .dialling_another_address();
        "404 for the path, where the request that works goes to another port of the app" => Cause::MethodOrPath, |words| {
            let serves = move |r: &Request| ok_if(path(r) == "/api/health", 404, words);
            Patient::serving(Speaks::Http1, serves).await.beside(9000, Server::start(serves).await, "/api/health")
        };
        "403 without a header, where the request that works goes to another port of the app" => Cause::MissingHeader, |words| {
            let serves = move |r: &Request| ok_if(header(r, "X-Tenant").is_some(), 403, words);
            Patient::serving(Speaks::Http1, serves).await.beside(9000, Server::start(serves).await, "/health").changed(|case| {
                case.known.works.as_mut().unwrap().headers.push(("X-Tenant".to_owned(), "blue".to_owned()));
            })
        };
        "404 for the path, where the request that works goes to a port that answers every path" => Cause::MethodOrPath, |words| {
            let all = Server::start(|_| Reply::status(200, "OK")).await;
            Patient::serving(Speaks::Http1, move |r| ok_if(path(r) == "/api", 404, words)).await.beside(9000, all, "/health")
        };
        "TLS where the request that works speaks it" => Cause::PlainToTls, |words| {
            let patient = Patient::serving(Speaks::Tls, |_| Reply::status(200, "OK")).await;
            let (address, host) = (patient.target.ports[&8000], "localhost:8000".to_owned());
            let works = WorkingRequest { address, https: true, host, target: "/health".to_owned(), headers: Vec::new() };
            patient.known(Known { works: Some(works), ..Known::default() })
        };
    }
    .to_vec()
}
