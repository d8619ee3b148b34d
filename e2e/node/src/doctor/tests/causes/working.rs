//! The fixtures of the score that have a cause and a request that works. Main function: [`beside_works`].

use super::{
    patients::{always, answers_anything, ok_if, on_two_addresses, path, unless},
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
            let address = patient.target.ports[&8000];
            patient.working(WorkingRequest { host: "app.example".to_owned(), ..works(address, "/api/health", &[]) })
        };
        "403 without the token of a request that works" => Cause::MissingHeader, |words|
            unless(403, words, |r| path(r).contains("token=")).await.works_with("/health?token=t");
        "403 without a header of the request that works, whatever it says" => Cause::MissingHeader, |words|
            unless(403, words, |r| header(r, "X-Tenant").is_some()).await.works_with_header("X-Tenant", "blue");
        "403 without what a header of the request that works says" => Cause::MissingHeader, |words|
            unless(403, words, |r| header(r, "X-Tenant") == Some("blue")).await.works_with_header("X-Tenant", "blue");
        "nobody listens, and another port wants credentials" => Cause::WrongPort, |words|
            unless(401, words, |r| header(r, "Authorization").is_some()).await.works_with_header("Authorization", "Basic c2VjcmV0").elsewhere();
        "404 without the token of a request that works" => Cause::MissingHeader, |words|
            unless(404, words, |r| path(r).contains("token=")).await.works_with("/health?token=t");
        "401 for a path with a space, and for the same without it" => Cause::MissingHeader, |words|
            unless(401, words, |r| path(r) == "/health").await.asking("/tenants/a%20b/health").works_with("/health");
        "braces in the path, where the request that works has none" => Cause::MalformedPath, |words| {
            let is_odd = |path: &str| path.contains('{') || path.contains("%7B");
            let status = move |path: &str| if path == "/health" { 200 } else if is_odd(path) { 400 } else { 404 };
            let patient = Patient::serving(Speaks::Http1, move |r| Reply::status(status(path(r)), words)).await;
            patient.asking("/of/{db}").works_with("/health")
        };
        "a port and a scheme of their own" => Cause::WrongPort, |words| {
            let secured = Server::speaking(Speaks::Tls, |r| ok_if(path(r) == "/health", 404, "")).await;
            let patient = always(404, words).await.beside(8443, secured, "/health");
            patient.changed(|case| case.known.works.as_mut().unwrap().https = true)
        };
        "400 for the Host, where the request that works goes to another address" => Cause::HostAllowList, |words|
            on_two_addresses(move |r| ok_if(host(r).starts_with("localhost"), 400, words)).await.works_with("/health")
                .dialled_at([127, 0, 0, 9]);
        "404 for the path, where the request that works goes to another address" => Cause::MethodOrPath, |words|
            on_two_addresses(move |r| ok_if(path(r) == "/api/health", 404, words)).await.works_with("/api/health")
                .dialled_at([127, 0, 0, 9]);
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
            unless(404, words, |r| path(r) == "/api").await.beside(9000, all, "/health")
        };
        "a plain port and another path" => Cause::TlsToPlain, |words| {
            let mut patient = answers_anything(words, "GET /healthz ").await;
            patient.case.known.works = Some(works(patient.target.ports[&8000], "/healthz", &[]));
            patient
        };
        "TLS where the request that works speaks it" => Cause::PlainToTls, |words| {
            let patient = Patient::serving(Speaks::Tls, |_| Reply::status(200, "OK")).await;
            let address = patient.target.ports[&8000];
            patient.working(WorkingRequest { https: true, ..works(address, "/health", &[]) })
        };
    }
    .to_vec()
}
