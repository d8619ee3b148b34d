//! Keeps the secrets of requests out of what is shown. Main functions: [`is_harmless`], [`without_secrets`], [`Values`].

use std::cmp::Reverse;

use base64::{Engine, engine::general_purpose::STANDARD};
use e2e_kubelet::observation::Observation;
use e2e_plan::ProbeAction;

use super::{Case, stranger::may_name_a_client};
use crate::request::unescape;

/// In place of a secret.
pub(super) const HIDDEN: &str = "<hidden>";

/// In place of the value of a header that the manifest has.
pub(super) const OF_MANIFEST: &str = "<the value in your manifest>";

/// Headers that every client sends, whose values are no secrets either; parameters in them may be.
const OF_EVERY_CLIENT: [&str; 6] = ["accept", "connection", "host", "referer", "te", "user-agent"];

/// The scheme of credentials that anybody can decode (RFC 7617).
const BASIC: &str = "Basic ";

/// Shorter values are not looked for in an app's answers: they may be there by chance.
const SHORTEST: usize = 6;

/// Beginnings of the names of headers whose values are no secrets. Not `x-forwarded-` alone: proxies forward tokens, too.
const HARMLESS: [&str; 5] = ["accept-", "content-", "x-forwarded-for", "x-forwarded-host", "x-forwarded-prefix"];

/// Ends of the words that name a secret in a query.
const OF_SECRETS: [&str; 17] = [
    "auth",
    "code",
    "credential",
    "jwt",
    "key",
    "otp",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "session",
    "sessionid",
    "sig",
    "signature",
    "token",
];

/// Whether the value of a header is no secret, by its name.
pub(super) fn is_harmless(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    !may_name_a_client(&name)
        || OF_EVERY_CLIENT.contains(&name.as_str())
        || HARMLESS.iter().any(|harmless| name.starts_with(harmless))
}

/// Headers as part of a sentence: their names, and the values that are no secrets.
pub(super) fn listed(headers: &[(String, String)]) -> String {
    let shown = |(name, value): &(String, String)| match is_harmless(name) {
        true => format!("{name}: {value}"),
        false => name.clone(),
    };
    headers.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The probe's action as a patch may show it.
pub(super) fn action_without_secrets(action: &ProbeAction) -> ProbeAction {
    let mut shown = action.clone();
    if let ProbeAction::HttpGet { path, headers, .. } = &mut shown {
        *path = without_secrets(path);
        for (_, value) in headers.iter_mut().filter(|(name, _)| !is_harmless(name)) {
            OF_MANIFEST.clone_into(value);
        }
    }
    shown
}

/// What may be secret in a case's requests: values of headers and of parameters, and credentials in them. An app may repeat them in its
/// answer.
pub(super) struct Values(Vec<String>);

impl Values {
    pub(super) fn of(case: &Case) -> Self {
        let (path, headers) = match &case.probe.action {
            ProbeAction::HttpGet { path, headers, .. } => (path.as_str(), headers.as_slice()),
            _ => ("", &[][..]),
        };
        let works = case.known.works.as_ref();
        let headers = headers.iter().chain(works.map_or(&[][..], |works| &works.headers));
        let of_headers = headers.filter(|(name, _)| !is_harmless(name)).flat_map(|(_, value)| parts(value));
        let targets = [path, works.map_or("", |works| &works.target)];
        let parameters = targets.into_iter().flat_map(|target| target.split(['?', '&', '#']).skip(1));
        let secret =
            parameters.filter_map(|parameter| parameter.split_once('=')).filter(|(name, _)| names_a_secret(name));
        let of_targets =
            secret.flat_map(|(_, value)| [value.to_owned(), plain(value), plain(&value.replace('+', " "))]);
        let mut values: Vec<String> = of_headers.chain(of_targets).filter(|value| value.len() >= SHORTEST).collect();
        // A value may contain another one.
        values.sort_by_key(|value| Reverse(value.len()));
        Self(values)
    }

    /// An observation in which they are hidden, and the values of the headers that were sent.
    pub(super) fn hidden_in(&self, mut observation: Observation) -> Observation {
        let Observation { request, headers, body, followed, warning, message, .. } = &mut observation;
        let lines = request.split_inclusive("\r\n").map(|line| match line.split_once(": ") {
            // HTTP/2 has the path among its fields.
            Some((name, _)) if !name.starts_with(':') && !name.contains(' ') && !is_harmless(name) => {
                format!("{name}: {HIDDEN}\r\n")
            }
            _ => without_secrets(line),
        });
        *request = lines.collect();
        let values = headers.iter_mut().map(|header| &mut header.value);
        for text in values.chain(followed).chain(warning).chain([body, message]) {
            *text = self.hidden(text);
        }
        observation
    }

    /// A text in which they are hidden, and parameters whose names say that they are secret.
    pub(super) fn hidden(&self, text: &str) -> String {
        without_secrets(&self.0.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), HIDDEN)))
    }
}

/// The parts of a header's value that an app may repeat: also without what precedes the secret, `Bearer` or a cookie's name, the beginning that
/// other values of a stranger share, and the password of `Basic`.
fn parts(value: &str) -> Vec<String> {
    let last = value.rsplit(' ').next().unwrap_or_default();
    let named = last.split_once('=').map_or("", |(_, rest)| rest);
    let mut parts = [value, last, named, beginning(last), beginning(named)].map(str::to_owned).to_vec();
    let is_basic = value.len() > BASIC.len() && value.as_bytes()[..BASIC.len()].eq_ignore_ascii_case(BASIC.as_bytes());
    let decoded = is_basic.then(|| STANDARD.decode(last).ok()).flatten();
    if let Some(credentials) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
        parts.extend(credentials.split_once(':').map(|(_, password)| password.to_owned()));
        parts.push(credentials);
    }
    parts
}

/// A parameter's value as an app reads it.
fn plain(value: &str) -> String {
    let bytes = unescape(value.as_bytes());
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A URL or a text with URLs, in which the values of secret parameters are hidden.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['?', '&']) {
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        rest = after;
        let end = after.find(|c: char| c.is_whitespace() || "&#\"`".contains(c)).unwrap_or(after.len());
        // What ends a clause is not the value's.
        let parameter = after[..end].trim_end_matches([',', ';', ':', '.', ')']);
        if let Some((name, _)) = parameter.split_once('=')
            && names_a_secret(name)
        {
            shown.extend([name, "=", HIDDEN]);
            rest = &after[parameter.len()..];
        }
    }
    shown + rest
}

/// A value without its last letters and digits.
fn beginning(value: &str) -> &str {
    value.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).trim_end_matches(|c: char| c.is_ascii_alphanumeric())
}

fn names_a_secret(parameter: &str) -> bool {
    let name = parameter.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| {
        let one = word.strip_suffix('s').unwrap_or(word);
        OF_SECRETS.iter().any(|secret| word.ends_with(secret) || one.ends_with(secret))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/health?token=new", "/health?token=<hidden>")]
    #[case("/health?pass=new&tokens=a,b", "/health?pass=<hidden>&tokens=<hidden>")]
    #[case("/health?a=1&X-Amz-Signature=ab?c%2F&b=2#d", "/health?a=1&X-Amz-Signature=<hidden>&b=2#d")]
    #[case("Get \"http://a/h?apiKey=k\": EOF", "Get \"http://a/h?apiKey=<hidden>\": EOF")]
    #[case(
        "it fails with the path /h?code=1, and succeeds with /h?auth_codes=2.",
        "it fails with the path /h?code=<hidden>, and succeeds with /h?auth_codes=<hidden>."
    )]
    #[case("/health?token=<hidden>&token", "/health?token=<hidden>&token")]
    #[case("/health?keyspace=a&include=db&q=token=x", "/health?keyspace=a&include=db&q=token=x")]
    #[case("what? a token=x & key=y", "what? a token=x & key=y")]
    fn secrets_of_a_query_are_hidden(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(without_secrets(text), shown);
    }

    #[rstest]
    #[case("Authorization", false)]
    #[case("X-Consul-Token", false)]
    #[case("X-Forwarded-Access-Token", false)]
    #[case("Host", true)]
    #[case("Hostess", false)]
    #[case("Accept-Language", true)]
    #[case("x-forwarded-proto", true)]
    #[case("Content-Type", true)]
    fn only_harmless_values_are_shown(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_harmless(name), expected);
    }

    #[test]
    fn an_observation_has_the_names_of_its_headers_alone() {
        let request = "GET /h?token=t HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s: 3\r\nAccept: */*\r\n\r\n";
        let message = "Get \"http://a/h?token=t\": EOF".to_owned();
        let shown =
            Values(Vec::new()).hidden_in(Observation { request: request.to_owned(), message, ..Default::default() });
        assert_eq!(
            shown.request,
            "GET /h?token=<hidden> HTTP/1.1\r\nHost: a\r\nAuthorization: <hidden>\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(shown.message, "Get \"http://a/h?token=<hidden>\": EOF");
    }
}
