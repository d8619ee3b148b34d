//! Clients that the app has never met, another each time: what picks one of two replicas, or counts requests, by such a thing meets each of them
//! anew. Main function: [`of`].

use std::net::{IpAddr, Ipv4Addr};

use e2e_figures::Random;
use e2e_kubelet::diagnosis::Axis;

use super::rounds::coin;
use crate::{probe::Prepared, request::as_written};

/// Headers that name no client: nothing counts by them or picks a replica by them. All others may.
const OF_NO_CLIENT: [&str; 9] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-type",
    "origin",
    "range",
    "upgrade",
    "x-forwarded-port",
    "x-forwarded-proto",
];

/// Whether a header may name a client.
pub(super) fn may_name_a_client(name: &str) -> bool {
    !OF_NO_CLIENT.contains(&name.to_ascii_lowercase().as_str())
}

/// The request from another loopback address, with a Host that no app knows, with more digits at the end of the query, or with another `User-Agent`
/// or other headers of the same form.
pub(super) fn of(axis: Axis, prepared: &Prepared, port: u16) -> Prepared {
    let mut random = coin();
    let mut changed = prepared.clone();
    match axis {
        Axis::Source => {
            let [_, second, third, last, ..] = random.number().to_le_bytes();
            // Never 127.0.x.y, where the probe is from.
            changed.route.source = Some(IpAddr::from([127, second | 1, third, last.clamp(1, 254)]));
        }
        Axis::Path => {
            let more = format!("{}{}", changed.request.target, random.number());
            changed.url.target.clone_from(&more);
            changed.request.target = more;
        }
        Axis::UserAgent => {
            changed.request.user_agent = changed.request.user_agent.map(|own| another_value(&own, &mut random));
        }
        Axis::Headers => {
            for (_, value) in changed.request.headers.iter_mut().filter(|(name, _)| may_name_a_client(name)) {
                *value = another_value(value, &mut random);
            }
        }
        _ => {
            let name = format!("u{:016x}.invalid", random.number());
            changed.request.host = as_written(&prepared.request.host, &name, port);
        }
    }
    changed
}

/// Another value of the same form: an address of the same network, or other letters and digits at the end.
fn another_value(value: &str, random: &mut Random) -> String {
    if let Ok(address) = value.parse::<Ipv4Addr>() {
        let [first, second, third, _] = address.octets();
        let last = 1 + (random.number() % 254) as u8;
        return Ipv4Addr::new(first, second, third, last).to_string();
    }
    let mut value = value.as_bytes().to_vec();
    let end = value.iter().rposition(u8::is_ascii_alphanumeric).map_or(value.len(), |last| last + 1);
    let mut changed = 0;
    for byte in value[..end].iter_mut().rev().take_while(|byte| byte.is_ascii_alphanumeric()) {
        let (first, count) = match *byte {
            b'0'..=b'9' => (b'0', 10),
            b'a'..=b'z' => (b'a', 26),
            _ => (b'A', 26),
        };
        *byte = first + (random.number() % count) as u8;
        changed += 1;
    }
    // One letter or digit alone has too few others.
    let more = (changed..2).map(|_| b'0' + (random.number() % 10) as u8).collect::<Vec<_>>();
    value.splice(end..end, more);
    String::from_utf8_lossy(&value).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kube-probe/1.36", "kube-probe/1.", "00")]
    #[case("kube-probe/1.9+", "kube-probe/1.", "00+")]
    #[case("Basic c2VjcmV0==", "Basic ", "a0AaaaA0==")]
    #[case("probe=1", "probe=", "00")]
    #[case("192.0.2.1", "192.0.2.", "")]
    #[case("*/*", "*/*", "00")]
    #[case("", "", "00")]
    #[case("Zoë", "", "Aaë")]
    fn another_value_has_the_same_form(#[case] value: &str, #[case] same: &str, #[case] form: &str) {
        let mut random = Random::seeded(1);
        let values: Vec<String> = (0..20).map(|_| another_value(value, &mut random)).collect();
        let form_of = |letter: char| match letter {
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            '0'..='9' => '0',
            other => other,
        };
        for other in &values {
            let rest = other.strip_prefix(same).unwrap_or_else(|| panic!("{other}"));
            match value.parse::<Ipv4Addr>() {
                Ok(_) => assert!((1..255).contains(&rest.parse::<u8>().unwrap()), "{other}"),
                Err(_) => assert_eq!(rest.chars().map(form_of).collect::<String>(), form),
            }
        }
        let different: std::collections::BTreeSet<&String> = values.iter().collect();
        assert!(different.len() > 14, "{different:?}");
    }

    #[test]
    fn headers_that_name_no_client_stay() {
        assert!(may_name_a_client("Cookie") && !may_name_a_client("X-Forwarded-Proto"));
    }
}
