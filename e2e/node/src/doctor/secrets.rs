//! Keeps the secrets of requests out of what is shown. Main functions: [`is_harmless`], [`without_secrets`].

use super::stranger::may_name_a_client;

/// In place of a query's secret.
pub(super) const HIDDEN: &str = "<hidden>";

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
    !may_name_a_client(&name) || HARMLESS.iter().any(|harmless| name.starts_with(harmless))
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
    #[case("Accept-Language", true)]
    #[case("x-forwarded-proto", true)]
    #[case("Content-Type", true)]
    fn only_harmless_values_are_shown(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_harmless(name), expected);
    }
}
