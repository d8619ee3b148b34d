//! Forms of texts that a cluster prescribes, after `k8s.io/apimachinery/pkg/util/validation`. Main type: [`Form`].

use std::{net::IpAddr, ops::RangeInclusive};

use crate::{duration, quantity};

/// A form that a text has or has not.
pub(crate) struct Form {
    pub(crate) has: fn(&str) -> bool,
    /// What a text without it is told to be, after "is not".
    pub(crate) what: &'static str,
    pub(crate) remedy: &'static str,
}

/// What has it, what a text without it is told not to be, and the remedy.
const fn form(has: fn(&str) -> bool, what: &'static str, remedy: &'static str) -> Form {
    Form { has, what, remedy }
}

pub(crate) const QUALIFIED: Form = form(
    is_key,
    "a qualified name",
    "use letters, digits and `-`, `_`, `.` between them, with or without a domain and `/` before them",
);
pub(crate) const LABEL_VALUE: Form =
    form(is_value, "the value of a label", "use letters, digits and `-`, `_`, `.` between them, at most 63 characters");
pub(crate) const FINALIZER: Form = form(
    |text| matches!(text, "foregroundDeletion" | "kubernetes" | "orphan") || text.contains('/') && is_key(text),
    "the name of a finalizer",
    "write one with its domain, such as `example.org/cleanup`",
);
pub(crate) const SYSCTL: Form = form(
    |text| text.len() <= 253 && text.split(['.', '/']).all(is_sysctl_part),
    "the name of a sysctl",
    "write one, such as `net.core.somaxconn`",
);
pub(crate) const DATA_KEY: Form =
    form(is_data_key, "the key of a ConfigMap or Secret", "use letters, digits, `-`, `_` and `.`");
pub(crate) const SEGMENT: Form = form(
    |text| !text.contains(['/', '%']) && text != "." && text != "..",
    "a name that can stand in a URL",
    "write a name without `/` and `%`",
);
pub(crate) const PORT_NAME: Form = form(
    is_port_name,
    "the name of a port",
    "use lower-case letters, digits and single `-` between them, at most 15 characters, one of them a letter",
);
pub(crate) const HEADER: Form = form(
    |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
    "the name of a header",
    "use letters, digits and `-`",
);
pub(crate) const HOST: Form = form(
    |text| is_domain(text.strip_prefix("*.").unwrap_or(text)) && text.parse::<IpAddr>().is_err(),
    "a host name",
    "write a DNS name in lower case, such as `shop.example.org` or `*.example.org`",
);
pub(crate) const DOMAIN: Form = form(
    |text| is_domain(text.strip_suffix('.').unwrap_or(text)),
    "a DNS name",
    "write one in lower case, without a scheme, port or path",
);
pub(crate) const ADDRESS: Form =
    form(|text| text.parse::<IpAddr>().is_ok(), "an IP address", "write one, such as `192.0.2.1`");
pub(crate) const CLUSTER_ADDRESS: Form = form(
    |text| text == "None" || (ADDRESS.has)(text),
    "an IP address",
    "write `None` for a headless Service, or remove it",
);
pub(crate) const NETWORK: Form = form(is_network, "a range of addresses", "write one, such as `10.0.0.0/8`");
pub(crate) const QUANTITY: Form =
    form(|text| quantity::bytes(text).is_ok(), "a quantity", "write a number, such as `1`, `500m` or `10Gi`");
pub(crate) const PROVISIONER: Form = form(
    |text| is_key(&text.to_lowercase()),
    "the name of a provisioner",
    "write one with its domain, such as `example.org/nfs` or `kubernetes.io/no-provisioner`",
);
pub(crate) const TRIMMED: Form = form(|text| text.trim() == text, "free of blanks at its ends", "remove them");
pub(crate) const ABSOLUTE: Form = form(|text| text.starts_with('/'), "an absolute path", "start it with `/`");
pub(crate) const WITHIN_ROOT: Form =
    form(|text| text.split('/').all(|part| part != ".."), "a path without `..`", "write the path that it leads to");
pub(crate) const INSIDE: Form = form(
    |text| !text.starts_with('/') && (WITHIN_ROOT.has)(text),
    "a path inside the volume",
    "write a relative path without `..`",
);
pub(crate) const PERCENTAGE: Form = form(
    |text| text.strip_suffix('%').is_some_and(|number| is_number(number) && number.len() < 10),
    "a percentage",
    "write a number without quotes, or one such as `\"25%\"`",
);
pub(crate) const SCHEDULE: Form = form(
    is_schedule,
    "a schedule",
    "write minute, hour, day, month and day of the week, such as `\"*/5 * * * *\"`, or one such as `\"@daily\"`",
);

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

pub(crate) fn is_value(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63 && text.chars().all(is_inner) && text.starts_with(is_outer) && text.ends_with(is_outer)
}

/// A label's key may have a domain before it.
pub(crate) fn is_key(text: &str) -> bool {
    let (domain, name) = text.split_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
    !name.is_empty() && is_value(name) && domain.is_none_or(is_domain)
}

fn is_sysctl_part(part: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.chars().all(|c| is_outer(c) || matches!(c, '-' | '_'))
        && part.starts_with(is_outer)
        && part.ends_with(is_outer)
}

/// Whether it is a DNS label (RFC 1123), of whatever length.
pub(crate) fn is_label(text: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.chars().all(|c| is_outer(c) || c == '-') && text.starts_with(is_outer) && text.ends_with(is_outer)
}

pub(crate) fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

pub(crate) fn is_data_key(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 253 && text.chars().all(allowed) && text != "." && !text.starts_with("..")
}

fn is_port_name(text: &str) -> bool {
    text.len() <= 15 && is_label(text) && text.contains(|c: char| c.is_ascii_lowercase()) && !text.contains("--")
}

pub(crate) fn is_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        is_number(length) && length.parse::<u8>().is_ok_and(|length| length <= most)
    })
}

/// As `ParseStandard` of `robfig/cron` reads it, whose week ends with 6.
fn is_schedule(text: &str) -> bool {
    const DESCRIPTORS: [&str; 7] = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if let Some(descriptor) = text.strip_prefix('@') {
        let every = descriptor.strip_prefix("every ").is_some_and(|time| duration::parse_positive(time).is_ok());
        return every || DESCRIPTORS.contains(&descriptor);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, week_day] = fields[..] else { return false };
    is_times(minute, 0..=59, &[])
        && is_times(hour, 0..=23, &[])
        && is_times(day, 1..=31, &[])
        && is_times(month, 1..=12, &MONTHS)
        && is_times(week_day, 0..=6, &DAYS)
}

/// Whether a field of a schedule is a list of times, ranges and steps.
fn is_times(field: &str, range: RangeInclusive<usize>, names: &[&str]) -> bool {
    let time = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name)).map(|index| index + range.start());
        named.or_else(|| text.parse().ok().filter(|_| is_number(text))).filter(|time| range.contains(time))
    };
    let is_part = |part: &str| {
        let (times, step) = part.split_once('/').map_or((part, None), |(times, step)| (times, Some(step)));
        let is_range = match times.split_once('-') {
            Some((first, last)) => matches!((time(first), time(last)), (Some(first), Some(last)) if first <= last),
            None => matches!(times, "*" | "?") || time(times).is_some(),
        };
        is_range && step.is_none_or(|step| is_number(step) && !step.trim_start_matches('0').is_empty())
    };
    field.split(',').all(is_part)
}
