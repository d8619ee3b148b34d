//! Turns a URL, headers and a body into a [`Fixed`] request, or a scenario's name into its [`Steps`].

use std::{
    net::{SocketAddr, TcpStream},
    str::FromStr,
    time::Duration,
};

use anyhow::Result;
use e2e_load::load::{
    RequestHead,
    scenarios::{Fixed, Steps},
};
use e2e_report::{request::Scenario, run_dir::new_run_id};
use e2e_run::exit::ExitCode;
use reqwest::Url;

use crate::failure::{BadInput, Ended, bad_input};

/// An http or https URL.
#[derive(Debug, Clone)]
pub(super) struct Target(Url);

/// A header written as `name: value`.
#[derive(Debug, Clone)]
pub(super) struct Header {
    name: String,
    value: String,
}

pub(super) fn parse(text: &str) -> Result<Target, String> {
    let remedy = "write http://HOST[:PORT]/PATH or https://...";
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error}): {remedy}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme `{}` is neither http nor https: {remedy}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials in the URL are not sent: use --header 'authorization: ...'".to_owned());
    }
    Ok(Target(url))
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("no colon: write 'name: value'")?;
        Ok(Self { name: name.trim().to_owned(), value: value.trim().to_owned() })
    }
}

impl Target {
    /// The first of the host's addresses that accepts a connection within `limit`: `localhost` has two, and a server usually
    /// listens on one.
    pub(super) fn address(&self, limit: Duration) -> Result<SocketAddr> {
        let unknown = |error| BadInput(format!("cannot look up {}: {error}", self.host_and_port()));
        let mut refusals = Vec::new();
        for address in self.0.socket_addrs(|| None).map_err(unknown)? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(_) => return Ok(address),
                Err(error) => refusals.push(format!("{address}: {error}")),
            }
        }
        let (server, refusals) = (self.host_and_port(), refusals.join("; "));
        Err(Ended(ExitCode::NotUp, format!("no server at {server} ({refusals}): start it, or correct --url")).into())
    }

    fn host_and_port(&self) -> String {
        format!("{}:{}", self.host(), self.0.port_or_known_default().unwrap_or(80))
    }

    /// The name that the certificate must match, with https.
    pub(super) fn server_name(&self) -> Option<String> {
        (self.0.scheme() == "https").then(|| self.host().trim_matches(['[', ']']).to_owned())
    }

    fn host(&self) -> &str {
        // URLs of these schemes always have one.
        self.0.host_str().unwrap_or_default()
    }

    /// The Host header, without the scheme's default port.
    fn authority(&self) -> String {
        self.0.port().map_or_else(|| self.host().to_owned(), |port| format!("{}:{port}", self.host()))
    }

    fn path_and_query(&self) -> String {
        self.0.query().map_or_else(|| self.0.path().to_owned(), |query| format!("{}?{query}", self.0.path()))
    }
}

/// The request. A given Host header replaces the URL's.
pub(super) fn request(target: &Target, method: &str, body: Option<&str>, headers: &[Header]) -> Result<Fixed> {
    let bad = |error: e2e_load::load::InvalidRequest| BadInput(error.to_string());
    let is_host = |header: &&Header| header.name.eq_ignore_ascii_case("host");
    let host = headers.iter().find(is_host).map_or_else(|| target.authority(), |header| header.value.clone());
    let mut head = RequestHead::new(method, &target.path_and_query(), &host).map_err(bad)?;
    for header in headers.iter().filter(|header| !is_host(header)) {
        let name = header.name.to_ascii_lowercase();
        if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            return bad_input(format!("the generator sets the header `{name}` itself: leave it out"));
        }
        head = head.header(&header.name, &header.value).map_err(bad)?;
    }
    let body = match body.map(|body| (body, body.strip_prefix('@'))) {
        None => None,
        Some((_, Some(path))) => {
            Some(std::fs::read(path).map_err(|error| BadInput(format!("cannot read --body @{path}: {error}")))?)
        }
        Some((text, None)) => Some(text.as_bytes().to_vec()),
    };
    Ok(Fixed::new(&head, body.as_deref()))
}

/// The steps of a configured scenario, for the URL's host.
pub(super) fn steps(target: &Target, name: &str, scenario: &Scenario) -> Result<Steps> {
    if target.path_and_query() != "/" {
        return bad_input("a scenario's steps have their own paths: leave the path out of --url");
    }
    let host = scenario.host.clone().unwrap_or_else(|| target.authority());
    // A fresh id, so that keys do not collide with those of earlier runs.
    Ok(Steps { host, ..scenario.steps(name, &new_run_id()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_host_and_name() {
        let target = parse("https://example.test:8443/a/b?c=d#e").unwrap();
        assert_eq!(
            (target.host_and_port(), target.authority()),
            ("example.test:8443".into(), "example.test:8443".into())
        );
        assert_eq!((target.path_and_query(), target.server_name()), ("/a/b?c=d".into(), Some("example.test".into())));
        let target = parse("http://[::1]").unwrap();
        assert_eq!((target.host_and_port(), target.authority()), ("[::1]:80".into(), "[::1]".into()));
        assert_eq!((target.path_and_query(), target.server_name()), ("/".into(), None));
    }

    #[test]
    fn the_address_is_the_one_that_accepts_connections() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = parse(&format!("http://localhost:{}/", address.port())).unwrap();
        assert_eq!(target.address(Duration::from_secs(5)).unwrap(), address);
        drop(listener);
        let error = target.address(Duration::from_secs(5)).unwrap_err();
        assert!(error.to_string().contains(&format!("{address}: Connection refused")), "{error}");
        assert_eq!(crate::failure::exit_code(&error), ExitCode::NotUp);
    }

    #[test]
    fn invalid_targets_say_why() {
        assert!(parse("127.0.0.1:80").unwrap_err().starts_with("not a URL"));
        assert!(parse("localhost:80/x").unwrap_err().starts_with("the scheme `localhost`"));
        assert!(parse("ftp://x/").unwrap_err().starts_with("the scheme `ftp`"));
        assert!(parse("http://a:b@x/").unwrap_err().starts_with("credentials"));
        assert!("x".parse::<Header>().is_err());
    }

    #[test]
    fn headers_that_would_break_the_framing_are_refused() {
        let target = parse("http://x/").unwrap();
        let header = |text: &str| [text.parse::<Header>().unwrap()];
        assert!(request(&target, "GET", None, &header("Connection: close")).is_err());
        assert!(request(&target, "GET", None, &header("a b: c")).is_err());
        assert!(request(&target, "G T", None, &[]).is_err());
        assert!(request(&target, "GET", Some("@/nowhere/at/all"), &[]).is_err());
        assert!(request(&target, "GET", None, &header("host: other")).is_ok());
    }
}
