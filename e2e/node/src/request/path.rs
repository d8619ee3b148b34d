//! A probe's `path` as a request target, like Go's `net/url` (`formatURL` in `pkg/probe/http/request.go`).

/// The request target: the path escaped as needed, the query unchanged, without the fragment.
pub(crate) fn escape_target(path: &str) -> String {
    let has_control = path.bytes().any(|b| b < 0x20 || b == 0x7f);
    let (url, fragment) = path.split_once('#').unwrap_or((path, ""));
    let (raw_path, query) = match url.split_once('?') {
        Some((raw_path, query)) => (raw_path, Some(query)),
        None => (url, None),
    };
    let raw_path = without_authority(raw_path);
    let parsed = unescape(raw_path.as_bytes());
    let broken = has_control || unescape(fragment.as_bytes()).is_none() || colon_in_first_segment(raw_path);
    match parsed.filter(|_| !broken) {
        Some(plain) => {
            let escaped = if is_validly_encoded(raw_path) { raw_path.to_owned() } else { escape(&plain) };
            let slash = if escaped.starts_with('/') { "" } else { "/" };
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            format!("{slash}{escaped}{query}")
        }
        // An unparsable text is a path, including question marks.
        None => {
            let slash = if path.starts_with('/') { "" } else { "/" };
            format!("{slash}{}", escape(path.as_bytes()))
        }
    }
}

/// Path and query, which has its question mark.
pub(crate) fn split(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// `//name/path` reads as an authority and a path; the kubelet then overwrites the authority.
fn without_authority(path: &str) -> &str {
    match path.strip_prefix("//") {
        Some(rest) if !rest.starts_with('/') => rest.find('/').map_or("", |slash| &rest[slash..]),
        _ => path,
    }
}

fn colon_in_first_segment(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').next().is_some_and(|segment| segment.contains(':'))
}

pub(crate) fn unescape(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            plain.push(first);
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    Some(plain)
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.~".contains(&b)
}

/// Whether Go keeps the path as written (`validEncoded`).
fn is_validly_encoded(path: &str) -> bool {
    path.bytes().all(|b| is_unreserved(b) || b"!$&'()*+,;=:@[]%/".contains(&b))
}

/// Go's `escape` in its mode for paths.
fn escape(plain: &[u8]) -> String {
    let mut escaped = String::with_capacity(plain.len());
    for &b in plain {
        if is_unreserved(b) || b"$&+,/:;=@".contains(&b) {
            escaped.push(char::from(b));
        } else {
            escaped.push_str(&format!("%{b:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/health", "/health")]
    #[case("", "/")]
    #[case("health", "/health")]
    #[case("/a b", "/a%20b")]
    #[case("/a%2Fb", "/a%2Fb")]
    #[case("/a%2Fb c", "/a/b%20c")]
    #[case("/a[1]!", "/a[1]!")]
    #[case("/q?x=1&y=%zz", "/q?x=1&y=%zz")]
    #[case("/q?x=1#part", "/q?x=1")]
    #[case("/bad%zz?x", "/bad%25zz%3Fx")]
    #[case("/new\nline", "/new%0Aline")]
    #[case("//other/path", "/path")]
    #[case("/größe", "/gr%C3%B6%C3%9Fe")]
    fn paths_are_escaped_as_go_escapes_them(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(escape_target(path), expected);
    }

    proptest! {
        #[test]
        fn a_target_is_one_line_that_starts_with_a_slash(path in "\\PC*|[\\x00-\\x7f]*") {
            let target = escape_target(&path);
            prop_assert!(target.starts_with('/'));
            prop_assert!(!target.bytes().any(|b| b < 0x20 || b == 0x7f));
        }
    }
}
