//! The parts of a URL that redirects need. Main type: [`Url`].

use std::fmt;

use crate::request::{authority, escape_target, split};

/// A URL, usually of http; a redirect may lead to any scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// The scheme, in lower case.
    pub(crate) scheme: String,
    /// The host name or address, without brackets.
    pub(crate) host: String,
    pub(crate) explicit_port: Option<u16>,
    /// Path and query, escaped.
    pub(crate) target: String,
}

/// The target of a Location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) url: Url,
    /// Whether the Location had a scheme.
    pub(crate) absolute: bool,
}

impl Url {
    pub(crate) fn is_tls(&self) -> bool {
        self.scheme == "https"
    }

    /// The same with another scheme.
    pub(crate) fn over_tls(&self, secured: bool) -> Self {
        Self { scheme: if secured { "https" } else { "http" }.to_owned(), ..self.clone() }
    }

    pub(crate) fn default_port(&self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }

    /// The explicit port or the scheme's default.
    pub(crate) fn port(&self) -> u16 {
        self.explicit_port.unwrap_or(self.default_port())
    }

    /// The host and the port as written, for `Host`.
    pub(crate) fn authority(&self) -> String {
        match self.explicit_port {
            Some(port) => authority(&self.host, port),
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        }
    }

    /// The host and the port to dial.
    pub(crate) fn dialled(&self) -> String {
        authority(&self.host, self.port())
    }

    /// Reads a Location relative to this URL.
    pub(crate) fn join(&self, location: &str) -> Result<Joined, String> {
        if location.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (location, fragment) = location.split_once('#').unwrap_or((location, ""));
        check_escapes(fragment)?;
        let (scheme, rest, absolute) = match scheme_of(location) {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest, true),
            None if location.starts_with(':') => return Err("missing protocol scheme".to_owned()),
            None => (self.scheme.clone(), location, false),
        };
        let (path, _) = split(rest);
        if !absolute && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
        // Go reads `///x` as a path, and `//` as a reference to the same place.
        let after_slashes = rest.strip_prefix("//").filter(|after| absolute || !after.starts_with('/'));
        let url = match after_slashes {
            Some(after) if !absolute && (after.is_empty() || after.starts_with('?')) => {
                Self { scheme, target: escape_target(&self.resolve(after)), ..self.clone() }
            }
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (host, explicit_port) = split_authority(&rest[..end])?;
                check_escapes(split(&rest[end..]).0)?;
                Self { scheme, host, explicit_port, target: escape_target(&rest[end..]) }
            }
            // `mailto:` and similar schemes have no host.
            None if absolute => Self { scheme, host: String::new(), explicit_port: None, target: rest.to_owned() },
            None => {
                check_escapes(path)?;
                Self { scheme, target: escape_target(&self.resolve(rest)), ..self.clone() }
            }
        };
        Ok(Joined { url, absolute })
    }

    /// A path or query relative to this URL's path, with dots resolved.
    fn resolve(&self, reference: &str) -> String {
        let ((base, _), (path, query)) = (split(&self.target), split(reference));
        if path.is_empty() {
            let same = if query.is_empty() { self.target.as_str() } else { base };
            return format!("{same}{query}");
        }
        let directory = &base[..base.rfind('/').map_or(0, |slash| slash + 1)];
        let joined = if path.starts_with('/') { path.to_owned() } else { format!("{directory}{path}") };
        let mut segments = Vec::new();
        for segment in joined.split('/').skip(1) {
            match segment {
                "." => {}
                ".." => {
                    segments.pop();
                }
                other => segments.push(other),
            }
        }
        if matches!(joined.rsplit('/').next(), Some("." | "..")) {
            segments.push("");
        }
        format!("/{}{query}", segments.join("/"))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.target)
    }
}

/// The scheme before a colon, if the text begins with one.
fn scheme_of(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some((scheme, rest))
}

/// The host of a `Host`, without brackets; empty if it is none.
pub(crate) fn host_of(authority: &str) -> String {
    split_authority(authority).unwrap_or_default().0
}

fn split_authority(text: &str) -> Result<(String, Option<u16>), String> {
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("missing ']' in host")?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let is_number = |digits: &&str| digits.bytes().all(|b| b.is_ascii_digit());
    let explicit_port = match port {
        "" | ":" => None,
        _ => {
            let number = port.strip_prefix(':').filter(is_number).and_then(|digits| digits.parse().ok());
            Some(number.ok_or_else(|| format!("invalid port {port:?} after host"))?)
        }
    };
    if let Some(bad) = host.chars().find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !IN_HOSTS.contains(*c)) {
        return Err(format!("invalid character {:?} in host name", bad.to_string()));
    }
    Ok((host.to_owned(), explicit_port))
}

/// What Go takes in a host's name beside letters and digits (`shouldEscape` for `encodeHost`), and the `%` of a zone.
const IN_HOSTS: &str = "-_.~!$&'()*+,;=:[]<>\"%";

/// Go's check of a path and a fragment: two digits behind each `%`.
fn check_escapes(text: &str) -> Result<(), String> {
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_hexdigit());
    let bad = text.match_indices('%').map(|(at, _)| &text[at..]).find(|rest| {
        let mut digits = rest.chars().skip(1);
        !is_digit(digits.next()) || !is_digit(digits.next())
    });
    match bad {
        Some(rest) => Err(format!("invalid URL escape {:?}", rest.chars().take(3).collect::<String>())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/other", "http://10.0.0.9:8080/other", false)]
    #[case("other?x=1", "http://10.0.0.9:8080/a/other?x=1", false)]
    #[case("../up/./here", "http://10.0.0.9:8080/up/here", false)]
    #[case("..", "http://10.0.0.9:8080/", false)]
    #[case("?x=1", "http://10.0.0.9:8080/a/b?x=1", false)]
    #[case("//10.0.0.9/x", "http://10.0.0.9/x", false)]
    #[case("HTTPS://10.0.0.9/x#y", "https://10.0.0.9/x", true)]
    #[case("http://[fd00::1]:81", "http://[fd00::1]:81/", true)]
    #[case("ftp://10.0.0.9/x", "ftp://10.0.0.9/x", true)]
    fn locations_are_read_against_the_url(#[case] location: &str, #[case] expected: &str, #[case] absolute: bool) {
        let url =
            Url { scheme: "http".into(), host: "10.0.0.9".into(), explicit_port: Some(8080), target: "/a/b?q".into() };
        let joined = url.join(location).unwrap();
        assert_eq!((joined.url.to_string().as_str(), joined.absolute), (expected, absolute));
    }

    #[rstest]
    #[case("http://10.0.0.9:port/")]
    #[case("http://10.0.0.9:+80/")]
    #[case("http://[fd00::1/")]
    #[case("http://[fd00::1]8/")]
    #[case("http://a b/")]
    #[case("https://{host}/")]
    #[case("/100%/x")]
    #[case("http://10.0.0.9/x#%z")]
    #[case("8080:x/y")]
    #[case(":8080/x")]
    fn what_is_no_url_is_an_error(#[case] location: &str) {
        let url = Url { scheme: "http".into(), host: "10.0.0.9".into(), explicit_port: None, target: "/".into() };
        assert!(url.join(location).is_err());
    }
}
