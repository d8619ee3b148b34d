//! The bytes of an httpGet probe, as written by the kubelet and Go's `net/http`. Pure. Main type: [`HttpRequest`], made by
//! [`HttpRequest::of_probe`].

mod path;

use e2e_kubelet::profile::Profile;

pub(super) use path::{escape_target, split, unescape};

/// A GET request before serialisation. `None` omits a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Path and query, escaped.
    pub target: String,
    /// `Host`.
    pub host: String,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `Accept`.
    pub accept: Option<String>,
    /// Other headers in Go's order by name; `Accept` is inserted among them.
    pub headers: Vec<(String, String)>,
    /// Headers that Go's transport appends: `Connection: close`.
    pub trailing: Vec<(String, String)>,
    /// Whether to omit `Host`, which only HTTP/1.0 allows. A kubelet never does.
    pub without_host: bool,
}

impl HttpRequest {
    /// A kubelet's request for an httpGet probe to `host` (an address or a name) and `port`.
    ///
    /// # Errors
    ///
    /// Go's error for an invalid header.
    pub fn of_probe(
        host: &str,
        port: u16,
        path: &str,
        headers: &[(String, String)],
        profile: &Profile,
    ) -> Result<Self, String> {
        let headers = sorted(headers, profile.canonical);
        for (name, value) in &headers {
            check_header(name, value)?;
        }
        let first = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| clean(value));
        let host = match first("Host").filter(|host| !host.is_empty()) {
            Some(host) => valid_host(&host),
            None => authority(host, port),
        };
        let user_agent = match first("User-Agent") {
            Some(own) => Some(own).filter(|own| !own.is_empty()),
            None => Some(format!("kube-probe/{}", profile.version)),
        };
        let accept = match first("Accept") {
            Some(own) => Some(own).filter(|own| !own.is_empty()),
            None => profile.accept.then(|| "*/*".to_owned()),
        };
        let mut trailing = Vec::new();
        if profile.accept_encoding && !headers.iter().any(|(name, _)| name == "Accept-Encoding" || name == "Range") {
            trailing.push(("Accept-Encoding".to_owned(), "gzip".to_owned()));
        }
        if !connection_is_settled(&headers) {
            trailing.push(("Connection".to_owned(), "close".to_owned()));
        }
        // Go writes these itself or not at all (`reqWriteExcludeHeader` in net/http/request.go). Only the first Accept is special;
        // further ones are ordinary headers.
        let mut accept_seen = false;
        let others = headers
            .into_iter()
            .filter(|(name, _)| match name.as_str() {
                "Host" | "User-Agent" | "Content-Length" | "Transfer-Encoding" | "Trailer" => false,
                "Accept" => std::mem::replace(&mut accept_seen, true) && accept.is_some(),
                _ => true,
            })
            .map(|(name, value)| (name, clean(&value)))
            .collect();
        Ok(Self {
            target: escape_target(path),
            host,
            user_agent,
            accept,
            headers: others,
            trailing,
            without_host: false,
        })
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = match self.without_host {
            false => format!("GET {} HTTP/1.1\r\nHost: {}\r\n", self.target, self.host),
            true => format!("GET {} HTTP/1.0\r\n", self.target),
        };
        let mut line = |name: &str, value: &str| {
            text.extend([name, ": ", value, "\r\n"]);
        };
        if let Some(user_agent) = &self.user_agent {
            line("User-Agent", user_agent);
        }
        let before = self.headers.partition_point(|(name, _)| name.as_str() < "Accept");
        for (name, value) in &self.headers[..before] {
            line(name, value);
        }
        if let Some(accept) = &self.accept {
            line("Accept", accept);
        }
        for (name, value) in self.headers[before..].iter().chain(&self.trailing) {
            line(name, value);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// The headers for HTTP/2: lower-case names, without connection-specific ones (`encodeHeaders` in Go's http2/transport.go).
    pub(super) fn http2_headers(&self) -> Vec<(String, String)> {
        const OF_A_CONNECTION: [&str; 5] =
            ["connection", "proxy-connection", "transfer-encoding", "upgrade", "keep-alive"];
        let own = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let mut headers: Vec<_> = own.filter(|(name, _)| !OF_A_CONNECTION.contains(&name.as_str())).collect();
        headers.extend(self.accept.iter().map(|accept| ("accept".to_owned(), accept.clone())));
        headers.extend(self.user_agent.iter().map(|agent| ("user-agent".to_owned(), agent.clone())));
        headers
    }

    /// The HTTP/2 request as text, because its bytes are compressed.
    pub(super) fn http2_text(&self, scheme: &str) -> String {
        let Self { host, target, .. } = self;
        let mut text = format!(":authority: {host}\r\n:method: GET\r\n:path: {target}\r\n:scheme: {scheme}\r\n");
        for (name, value) in self.http2_headers() {
            text.extend([&name, ": ", &value, "\r\n"]);
        }
        text
    }

    /// Sets a header; those that have no field of their own are in the order of names.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match name.to_ascii_lowercase().as_str() {
            "host" => self.host = value,
            "user-agent" => self.user_agent = Some(value),
            "accept" => self.accept = Some(value),
            _ => {
                self.headers.retain(|(n, _)| n != name);
                let at = self.headers.partition_point(|(n, _)| n.as_str() <= name);
                self.headers.insert(at, (name.to_owned(), value));
            }
        }
    }
}

/// `host:port` like Go's `net.JoinHostPort`: always with the port, IPv6 in brackets.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    // `Host` never carries the zone of a scoped IPv6 address (RFC 6874, `removeZone` in net/http).
    let without_zone = host.split_once('%').map_or(host, |(address, _)| address);
    match without_zone.contains(':') {
        true => format!("[{without_zone}]:{port}"),
        false => format!("{without_zone}:{port}"),
    }
}

/// A name as a Host of the same form: with the port only if that one has it.
pub(crate) fn as_written(like: &str, name: &str, port: u16) -> String {
    if like.ends_with(&format!(":{port}")) { authority(name, port) } else { name.to_owned() }
}

/// The headers sorted by name, in Go's canonical form if the kubelet uses it; values of one name keep their order.
fn sorted(headers: &[(String, String)], canonical: bool) -> Vec<(String, String)> {
    let name = |name: &str| if canonical { canonical_name(name) } else { name.to_owned() };
    let mut headers: Vec<_> = headers.iter().map(|(n, value)| (name(n), value.clone())).collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    headers
}

/// `x-request-ID` becomes `X-Request-Id`; an invalid name stays unchanged (`textproto.CanonicalMIMEHeaderKey`).
fn canonical_name(name: &str) -> String {
    if !is_name(name) {
        return name.to_owned();
    }
    let mut upper = true;
    let canonical_char = |c: char| {
        let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        upper = c == '-';
        c
    };
    name.chars().map(canonical_char).collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

/// Whether a byte may stand in a header's name (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a byte may stand in a header's value (`httpguts.ValidHeaderFieldValue`).
pub(super) fn is_of_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// The errors of `http.Transport` before it dials.
fn check_header(name: &str, value: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!("net/http: invalid header field name {name:?}"));
    }
    if !value.bytes().all(is_of_value) {
        return Err(format!("net/http: invalid header field value for {name:?}"));
    }
    Ok(())
}

/// Go trims blanks around values.
fn clean(value: &str) -> String {
    value.trim_matches([' ', '\t']).to_owned()
}

/// A Host with an invalid byte is sent empty (Go 1.21, `Request.write`).
fn valid_host(host: &str) -> String {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&b);
    if host.bytes().all(valid) { host.to_owned() } else { String::new() }
}

/// Whether the declared headers keep Go from adding `Connection: close` (`Request.wantsClose`, `isProtocolSwitchHeader`).
fn connection_is_settled(headers: &[(String, String)]) -> bool {
    let values = |name: &'static str| headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value);
    let has_token = |value: &str, token: &str| value.split(',').any(|t| t.trim().eq_ignore_ascii_case(token));
    let wants_close = values("Connection").next().is_some_and(|value| has_token(value, "close"));
    let upgrades = values("Upgrade").next().is_some_and(|value| !value.is_empty())
        && values("Connection").any(|value| has_token(value, "upgrade"));
    wants_close || upgrades
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn bytes(version: &str, host: &str, port: u16, path: &str, headers: &[(&str, &str)]) -> String {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let request = HttpRequest::of_probe(host, port, path, &headers, &Profile::of_version(version)).unwrap();
        String::from_utf8(request.bytes()).unwrap()
    }

    #[test]
    fn equals_the_recorded_probe() {
        let recorded = "GET /health HTTP/1.1\r\nHost: 10.96.1.207:80\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\n\
                        Connection: close\r\n\r\n";
        assert_eq!(bytes("1.32", "10.96.1.207", 80, "/health", &[]), recorded);
        assert_eq!(recorded.len(), 107);
    }

    #[rstest]
    #[case::host_in_any_case("1.32", &[("hOST", "app.example"), ("Host", "second")], "Host: app.example\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: close\r\n")]
    #[case::own_user_agent("1.32", &[("user-agent", "me/1")], "Host: 10.0.0.1:80\r\nUser-Agent: me/1\r\nAccept: */*\r\nConnection: close\r\n")]
    #[case::no_user_agent("1.32", &[("User-Agent", "")], "Host: 10.0.0.1:80\r\nAccept: */*\r\nConnection: close\r\n")]
    #[case::own_accept("1.32", &[("accept", "text/plain")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nAccept: text/plain\r\nConnection: close\r\n")]
    #[case::no_accept("1.32", &[("Accept", "")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nConnection: close\r\n")]
    #[case::sorted("1.32", &[("X-B", "2"), ("a-first", "1"), ("x-b", "3")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nA-First: 1\r\nAccept: */*\r\nX-B: 2\r\nX-B: 3\r\nConnection: close\r\n")]
    #[case::own_close("1.32", &[("Connection", "close")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: close\r\n")]
    #[case::own_keep_alive("1.32", &[("Connection", "keep-alive")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: keep-alive\r\nConnection: close\r\n")]
    #[case::dropped("1.32", &[("Content-Length", "5"), ("Trailer", "x")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: close\r\n")]
    #[case::bad_host("1.32", &[("Host", "a/b")], "Host: \r\nUser-Agent: kube-probe/1.32\r\nAccept: */*\r\nConnection: close\r\n")]
    // Recorded from a kubelet of 1.20; see `e2e/run/tests/differential`. Before 1.26, names stay as they are declared.
    #[case::declared_name("1.20", &[("host", "localhost:8000")], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.20\r\nAccept: */*\r\nhost: localhost:8000\r\nConnection: close\r\n")]
    #[case::another_set("1.19+", &[], "Host: 10.0.0.1:80\r\nUser-Agent: kube-probe/1.19+\r\nAccept-Encoding: gzip\r\nConnection: close\r\n")]
    fn headers_are_written_as_go_writes_them(
        #[case] version: &str,
        #[case] headers: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let expected = format!("GET / HTTP/1.1\r\n{expected}\r\n");
        assert_eq!(bytes(version, "10.0.0.1", 80, "/", headers), expected);
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        assert!(bytes("1.32", "fd00::9", 8080, "/", &[]).contains("\r\nHost: [fd00::9]:8080\r\n"));
        assert_eq!(authority("fe80::1%eth0", 80), "[fe80::1]:80");
    }

    #[test]
    fn a_newline_in_a_header_is_refused() {
        let header = [("X-A".to_owned(), "1\r\nX-B: 2".to_owned())];
        let error = HttpRequest::of_probe("10.0.0.1", 80, "/", &header, &Profile::default()).unwrap_err();
        assert_eq!(error, r#"net/http: invalid header field value for "X-A""#);
    }
}
