//! Keeps the secrets of requests out of what is shown. Main functions: [`is_harmless`], [`without_secrets`], [`Values`].

use e2e_kubelet::observation::Observation;
use e2e_plan::ProbeAction;

use super::{Case, stranger::may_name_a_client};

/// In place of a secret.
pub(super) const HIDDEN: &str = "<hidden>";

/// In place of the value of a header that the manifest has.
pub(super) const OF_MANIFEST: &str = "<the value in your manifest>";

/// Headers that every client sends, whose values are no secrets either.
const OF_EVERY_CLIENT: [&str; 5] = ["accept", "connection", "host", "te", "user-agent"];

/// Shorter values of headers are not looked for in an app's answers: they may be there by chance.
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

/// An observation without the secrets of its request.
pub(super) fn observation_without_secrets(observation: Observation) -> Observation {
    let lines = observation.request.split_inclusive("\r\n").map(|line| match line.split_once(": ") {
        // HTTP/2 has the path among its fields.
        Some((name, _)) if !name.starts_with(':') && !name.contains(' ') && !is_harmless(name) => {
            format!("{name}: {HIDDEN}\r\n")
        }
        _ => without_secrets(line),
    });
    let request = lines.collect();
    Observation { request, ..changed(observation, without_secrets) }
}

/// The observation with another text wherever it has one of the app or of the kubelet.
fn changed(mut observation: Observation, change: impl Fn(&str) -> String) -> Observation {
    let Observation { headers, body, followed, warning, message, .. } = &mut observation;
    let values = headers.iter_mut().map(|header| &mut header.value);
    for text in values.chain(followed).chain(warning).chain([body, message]) {
        *text = change(text);
    }
    observation
}

/// The values of a case's headers that may be secrets: an app may repeat them in its answer.
pub(super) struct Values(Vec<String>);

impl Values {
    pub(super) fn of(case: &Case) -> Self {
        let own = match &case.probe.action {
            ProbeAction::HttpGet { headers, .. } => headers.as_slice(),
            _ => &[],
        };
        let works = case.known.works.as_ref().map_or(&[][..], |works| &works.headers);
        let values = own.iter().chain(works).filter(|(name, _)| !is_harmless(name)).map(|(_, value)| value.as_str());
        // Also without what precedes the secret, `Bearer` or a cookie's name, and the beginning that other values of a stranger share.
        let parts = values.flat_map(|value| {
            let last = value.rsplit(' ').next().unwrap_or_default();
            let named = last.split_once('=').map_or("", |(_, rest)| rest);
            [value, last, named, beginning(last), beginning(named)]
        });
        Self(parts.filter(|part| part.len() >= SHORTEST).map(str::to_owned).collect())
    }

    /// An observation in which they are hidden.
    pub(super) fn hidden_in(&self, observation: Observation) -> Observation {
        changed(observation, |text| self.hidden(text))
    }

    /// A text in which they are hidden.
    pub(super) fn hidden(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), HIDDEN))
    }
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
            observation_without_secrets(Observation { request: request.to_owned(), message, ..Default::default() });
        assert_eq!(
            shown.request,
            "GET /h?token=<hidden> HTTP/1.1\r\nHost: a\r\nAuthorization: <hidden>\r\nAccept: */*\r\n\r\n"
        );
        assert_eq!(shown.message, "Get \"http://a/h?token=<hidden>\": EOF");
    }
}
