//! A case from the URL and flags of a command line. Main type: [`Asked`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use e2e_plan::{Probe, ProbeAction, ProbeKind};

use super::{Case, Known, WorkingRequest};
use crate::{
    http::Url,
    probe::{Profile, Target},
    request::{HttpRequest, unescape},
};

/// The default pod address: an example.
pub const EXAMPLE_POD_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 0, 9));

/// A probe, given by its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The port's address as reachable from here, with the path: `http://127.0.0.1:8000/health`. `grpc://127.0.0.1:9000/service`
    /// and `tcp://127.0.0.1:5432` are grpc and tcpSocket probes.
    pub url: String,
    /// A kubelet's `Host`; by default the URL's address, or an example if that is a loopback address.
    pub pod_ip: Option<IpAddr>,
    /// `httpHeaders`, each `Name: value`.
    pub headers: Vec<String>,
    /// `timeoutSeconds`.
    pub timeout: Duration,
    /// `scheme`, if it differs from the URL's.
    pub https: Option<bool>,
    /// A URL that succeeds; it may contain `user:password@`.
    pub works: Option<String>,
    /// Headers of the working request, each `Name: value`.
    pub works_headers: Vec<String>,
    /// Its `user:password`.
    pub works_user: Option<String>,
    /// The kind of the probe.
    pub which: ProbeKind,
}

/// A URL or flag that is not a probe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not a URL, or not an HTTP URL.
    #[error("`{url}`: {reason}; write it as http://127.0.0.1:8000/health")]
    Url {
        /// The given text.
        url: String,
        /// The error.
        reason: String,
    },
    /// A host without an address.
    #[error("`{url}`: the host {host} has no address; write an address, or correct the name")]
    Host {
        /// The URL.
        url: String,
        /// Its host.
        host: String,
    },
    /// A header cannot be sent.
    #[error("{flag} {header:?}: {reason}; write it as `Name: value`")]
    Header {
        /// The flag.
        flag: &'static str,
        /// The given text.
        header: String,
        /// The error.
        reason: String,
    },
}

impl Asked {
    /// A liveness probe of a URL with Kubernetes' defaults.
    #[must_use]
    pub fn of(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pod_ip: None,
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            https: None,
            works: None,
            works_headers: Vec::new(),
            works_user: None,
            which: ProbeKind::Liveness,
        }
    }

    /// The case and its address. Resolves names.
    ///
    /// # Errors
    ///
    /// The URL, a header or the other URL cannot be used.
    pub async fn case(&self) -> Result<(Case, Target), AskError> {
        let url = parse(&self.url, &["http", "https", "grpc", "tcp"])?;
        let port = url.explicit_port.ok_or_else(|| AskError::Url {
            url: self.url.clone(),
            reason: "it has no port; a probe always names one".to_owned(),
        })?;
        let address = look_up(&self.url, &url.host, port, None).await?;
        let pod_ip = self.pod_ip.unwrap_or(match address.ip() {
            ip if ip.is_loopback() => EXAMPLE_POD_IP,
            ip => ip,
        });
        let works = match &self.works {
            Some(works) => Some(self.working(works, address).await?),
            None => None,
        };
        let action = match url.scheme.as_str() {
            "grpc" => ProbeAction::Grpc { port, service: url.target.trim_matches('/').to_owned() },
            "tcp" => ProbeAction::TcpSocket { host: None, port },
            scheme => ProbeAction::HttpGet {
                https: self.https.unwrap_or(scheme == "https"),
                host: None,
                port,
                path: url.target.clone(),
                headers: headers("--header", &self.headers)?,
            },
        };
        let probe = Probe { timeout: self.timeout, ..Probe::new(action) };
        let case = Case {
            kind: "Deployment".to_owned(),
            component: "app".to_owned(),
            container: "app".to_owned(),
            which: self.which,
            probe,
            known: Known { works, may_be_starting: true, unnamed: true, ..Known::default() },
        };
        let host = Some(address.ip());
        Ok((case, Target { pod_ip, ports: BTreeMap::from([(port, address)]), host }))
    }

    async fn working(&self, text: &str, near: SocketAddr) -> Result<WorkingRequest, AskError> {
        let url = parse(text, &["http", "https"])?;
        let address = look_up(text, &url.host, url.port(), Some(near.ip())).await?;
        // A client omits the default port.
        let explicit_port = url.explicit_port.filter(|port| *port != url.default_port());
        let url = Url { explicit_port, ..url };
        let mut headers = headers("-H", &self.works_headers)?;
        if let Some(user) = self.works_user.clone().map(String::into_bytes).or_else(|| user_of(text)) {
            headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(user))));
        }
        Ok(WorkingRequest { address, https: url.is_tls(), host: url.authority(), target: url.target, headers })
    }
}

fn headers(flag: &'static str, headers: &[String]) -> Result<Vec<(String, String)>, AskError> {
    let header = |text: &String| {
        let wrong = |reason: &str| AskError::Header { flag, header: text.clone(), reason: reason.to_owned() };
        let (name, value) = text.split_once(':').ok_or_else(|| wrong("it has no colon"))?;
        let header = (name.trim().to_owned(), value.trim_matches([' ', '\t']).to_owned());
        // A kubelet could not send it either.
        HttpRequest::of_probe("127.0.0.1", 80, "/", std::slice::from_ref(&header), &Profile::default())
            .map_err(|error| wrong(&error))?;
        Ok(header)
    };
    headers.iter().map(header).collect()
}

/// `user:password` of a URL, unescaped.
fn user_of(url: &str) -> Option<Vec<u8>> {
    let (_, rest) = url.split_once("//")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (user, _) = authority.rsplit_once('@')?;
    unescape(user.as_bytes())
}

fn parse(text: &str, schemes: &[&str]) -> Result<Url, AskError> {
    let wrong = |reason: &str| AskError::Url { url: text.to_owned(), reason: reason.to_owned() };
    let none = Url { scheme: String::new(), host: String::new(), explicit_port: None, target: "/".to_owned() };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !scheme.is_some_and(|scheme| schemes.contains(&scheme.as_str())) {
        return Err(wrong(&format!("it does not begin with {}://", schemes.join(":// or "))));
    }
    let url = none.join(text).map_err(|reason| wrong(&reason))?.url;
    if url.host.is_empty() { Err(wrong("it has no host")) } else { Ok(url) }
}

/// The address of a host: `near` if it is one of them, otherwise IPv4 first.
async fn look_up(url: &str, host: &str, port: u16, near: Option<IpAddr>) -> Result<SocketAddr, AskError> {
    let unknown = || AskError::Host { url: url.to_owned(), host: host.to_owned() };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(|_| unknown())?.collect();
    let is_near = |address: &&SocketAddr| Some(address.ip()) == near;
    let first = found.iter().find(is_near).or_else(|| found.iter().find(|address| address.is_ipv4()));
    first.or(found.first()).copied().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:8000/health", "it does not begin with http:// or https:// or grpc:// or tcp://")]
    #[case("/health", "it does not begin with http:// or https:// or grpc:// or tcp://")]
    #[case("http://127.0.0.1/health", "it has no port; a probe always names one")]
    #[case("http://127.0.0.1:port/", "invalid port \":port\" after host")]
    #[case("http://:8000/", "it has no host")]
    #[case("http://127.0.0.1:8000/a\nb", "net/url: invalid control character in URL")]
    #[tokio::test]
    async fn a_url_that_is_none_is_named(#[case] url: &str, #[case] reason: &str) {
        let error = Asked::of(url).case().await.unwrap_err();
        assert_eq!(error, AskError::Url { url: url.to_owned(), reason: reason.to_owned() });
    }

    #[rstest]
    #[case("X-A", "it has no colon")]
    #[case("X A: 1", "net/http: invalid header field name \"X A\"")]
    #[case("X-A: 1\nX-B: 2", "net/http: invalid header field value for \"X-A\"")]
    #[tokio::test]
    async fn a_header_that_cannot_be_sent_is_named(#[case] header: &str, #[case] reason: &str) {
        let asked = Asked { headers: vec![header.to_owned()], ..Asked::of("http://127.0.0.1:8000/") };
        let error = asked.case().await.unwrap_err();
        assert_eq!(error, AskError::Header { flag: "--header", header: header.to_owned(), reason: reason.to_owned() });
    }

    #[rstest]
    #[case("http://us%40er:p%3Aw@localhost:8000/x", None, "Basic dXNAZXI6cDp3")]
    #[case("http://localhost:8000/x@y", Some("admin:test"), "Basic YWRtaW46dGVzdA==")]
    #[tokio::test]
    async fn credentials_of_the_request_that_works_are_kept(
        #[case] works: &str,
        #[case] user: Option<&str>,
        #[case] expected: &str,
    ) {
        let works_headers = vec!["X-A: b".to_owned()];
        let (works, works_user) = (Some(works.to_owned()), user.map(str::to_owned));
        let asked = Asked { works, works_user, works_headers, ..Asked::of("http://127.0.0.1:8000/") };
        let (case, _) = asked.case().await.unwrap();
        let works = case.known.works.unwrap();
        let expected = [("X-A".to_owned(), "b".to_owned()), ("Authorization".to_owned(), expected.to_owned())];
        assert_eq!((works.host.as_str(), works.headers.as_slice()), ("localhost:8000", expected.as_slice()));
    }

    #[rstest]
    #[case("grpc://127.0.0.1:9000", ProbeAction::Grpc { port: 9000, service: String::new() })]
    #[case("grpc://127.0.0.1:9000/db", ProbeAction::Grpc { port: 9000, service: "db".to_owned() })]
    #[case("tcp://127.0.0.1:5432", ProbeAction::TcpSocket { host: None, port: 5432 })]
    #[tokio::test]
    async fn other_probes_have_urls_too(#[case] url: &str, #[case] action: ProbeAction) {
        assert_eq!(Asked::of(url).case().await.unwrap().0.probe.action, action);
    }

    #[tokio::test]
    async fn a_loopback_address_is_no_pods() {
        let (case, target) = Asked::of("http://127.0.0.1:8000/a?b").case().await.unwrap();
        assert_eq!((target.pod_ip, target.address(8000)), (EXAMPLE_POD_IP, Some(([127, 0, 0, 1], 8000).into())));
        assert!(matches!(case.probe.action, ProbeAction::HttpGet { ref path, .. } if path == "/a?b"));
    }
}
