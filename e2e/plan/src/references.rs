//! Who calls whom: the Services that a component's env, command, args and config files name as hosts. A name alone is not enough,
//! because `POSTGRES_USER=postgres` names a user. A Service's name, alone or followed by `.namespace` or `.namespace.svc...`, or after
//! the name of one of its pods and a dot, counts as a host where
//!
//! 1. one of the Service's own ports follows: `postgres:5432`, `replicaof redis 6379`,
//! 2. `//` or `@` stands before it, and it is not the user of an address: `http://backend/`, `redis://:pw@redis`,
//! 3. it is the value of a variable, key or option whose name ends with one of [`HOST_KEYS`]: `DB_HOST=postgres`,
//!    `host: postgres`, `--host postgres`, `-h postgres`,
//! 4. it follows `server` at the start of a statement, as in nginx's `upstream`.
//!
//! Comment lines (`#`) do not count, nor do lines and variables that say who may call (a name with one of [`CALLER_KEYS`],
//! such as `ALLOWED_HOSTS`). Main functions: [`mentions`], [`texts`].

use std::ops::Range;

use super::{
    Service,
    pod::{Container, Pod, Value, Volume},
};

/// How the name of a variable, key or option ends when its value is a host.
pub const HOST_KEYS: &[&str] = &[
    "host",
    "hosts",
    "hostname",
    "addr",
    "addrs",
    "address",
    "addresses",
    "url",
    "uri",
    "server",
    "servers",
    "endpoint",
    "endpoints",
    "upstream",
    // Of Kafka, ZooKeeper and Cassandra.
    "broker",
    "brokers",
    "connect",
    "nodes",
    "seeds",
    "connection_string",
];

/// What stands in the name of a list of callers.
pub const CALLER_KEYS: &[&str] = &["allow", "cors", "origins", "trust", "virtual_host"];

/// A Service named as a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention<'a> {
    /// The Service.
    pub service: &'a Service,
    /// Where the host stands in the text, in bytes.
    pub host: Range<usize>,
    /// The port after it and where its digits stand, in bytes.
    pub port: Option<(u16, Range<usize>)>,
}

impl Mention<'_> {
    /// Whether the host stands without the port behind a colon, and is no web address with the default port: it must be an address
    /// at which the Service has its own ports.
    #[must_use]
    pub fn is_alone(&self, text: &str) -> bool {
        let (before, after) = (&text[..self.host.start], &text[self.host.end..]);
        let is_web_address = before.ends_with("//") && self.port.is_none();
        let has_default_port = is_web_address && self.service.ports.iter().any(|port| port.port == 80);
        !after.starts_with(':') && !has_default_port
    }

    /// Whether the host is one pod of the Service, as in `db-0.db`.
    #[must_use]
    pub fn is_pod(&self, text: &str) -> bool {
        !text[self.host.clone()].starts_with(self.service.host())
    }
}

/// The texts of a pod's containers that may name hosts: env, commands, args and mounted files. Before each the name of the variable
/// or option whose value it is.
pub fn texts(pod: &Pod) -> impl Iterator<Item = (Option<&str>, &str)> {
    let of_container = move |container| {
        let Container { env, command, args, mounts, .. }: &Container = container;
        let env = env.iter().filter_map(|variable| Some((Some(variable.name.as_str()), text(&variable.value)?)));
        let files = mounts.iter().filter_map(|mount| match pod.volumes.get(&mount.volume) {
            Some(Volume::Files(files)) => Some(files.iter().filter_map(|file| Some((None, text(&file.content)?)))),
            _ => None,
        });
        env.chain(arguments(command)).chain(arguments(args)).chain(files.flatten())
    };
    pod.all_containers().flat_map(of_container)
}

/// Each argument, and before it the option that precedes it.
pub fn arguments(list: &[String]) -> impl Iterator<Item = (Option<&str>, &str)> {
    let options = list.iter().map(|argument| argument.starts_with('-').then_some(argument.as_str()));
    std::iter::once(None).chain(options).zip(list.iter().map(String::as_str))
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Plain(text) => Some(text),
        Value::Secret(secret) => Some(&secret.text),
        Value::Binary(_) | Value::Field(_) | Value::Node(..) => None,
    }
}

/// The Services that a text names as hosts, in the order of the text. `key` is the name of the variable or option whose
/// value the text is, and `namespace` that of the pod that reads it.
#[must_use]
pub fn mentions<'a>(key: Option<&str>, text: &str, (namespace, services): (&str, &'a [Service])) -> Vec<Mention<'a>> {
    if key.is_some_and(names_callers) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for service in services.iter().filter(|service| service.is_meant_in(namespace, services)) {
        for (start, _) in text.match_indices(service.host()).filter(|_| !service.name.is_empty()) {
            found.extend(mention(key, text, start, (service, services)));
        }
    }
    found.sort_by_key(|mention| mention.host.start);
    found
}

/// What stands at a place where the short name of a Service begins: that one, or another one of its name in the namespace that follows.
fn mention<'a>(
    key: Option<&str>,
    text: &str,
    start: usize,
    (service, services): (&'a Service, &'a [Service]),
) -> Option<Mention<'a>> {
    let host_start = start - pod_before(&text[..start], service);
    // `${NAME:-host}` has a default.
    let before = &text[..host_start];
    if !before.ends_with(":-") && before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '$'))
    {
        return None;
    }
    let host_end = start + service.host().len();
    let end = host_end + domain(&text[host_end..])?;
    let namespace = text[host_end..end].split('.').nth(1);
    let is_there = |other: &&Service| other.host() == service.host() && Some(other.namespace.as_str()) == namespace;
    let service = services.iter().find(is_there).unwrap_or(service);
    let after = &text[end..];
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line.trim_start().starts_with('#') || is_callers_line(line) || is_user(after) {
        return None;
    }
    // The variable with the default ends before the port.
    let (closed, rest) = after.strip_prefix('}').map_or((0, after), |rest| (1, rest));
    let port = port(rest)
        .map(|(number, digits)| (number, closed + digits.start..closed + digits.end))
        .map(|(number, digits)| (number, end + digits.start..end + digits.end));
    let value_end = port.as_ref().map_or(end, |(_, digits)| digits.end);
    let own_port = port.as_ref().is_some_and(|(number, _)| service.ports.iter().any(|port| port.port == *number));
    let is_qualified = text[host_end..end].split('.').nth(2) == Some("svc");
    let is_host = own_port
        || is_qualified
        || before.ends_with("//")
        || before.ends_with('@')
        || is_value_of(key, before, &text[value_end..])
        || (ends_value(&text[value_end..]) && follows_host_key(line))
        || is_nginx_server(before);
    is_host.then_some(Mention { service, host: host_start..end, port })
}

/// The length of a pod's name and its dot before the name of its Service, as in `db-0.db`; 0 without one.
fn pod_before(before: &str, service: &Service) -> usize {
    let Some(rest) = before.strip_suffix('.') else { return 0 };
    let component = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let Some(component) = component.strip_suffix('-').filter(|_| component.len() < rest.len()) else { return 0 };
    let names = service.components.iter().filter(|name| component.ends_with(name.as_str()));
    names.map(|name| before.len() - component.len() + name.len()).max().unwrap_or(0)
}

/// The length of the domain that follows a Service's name: nothing, `.namespace` or `.namespace.svc...`. None if the name
/// goes on in another way, as in `backend.example.com` or `backend_pool`.
fn domain(after: &str) -> Option<usize> {
    let run = after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(after.len());
    let run = after[..run].trim_end_matches('.');
    if run.is_empty() {
        return Some(0);
    }
    let labels: Vec<&str> = run.strip_prefix('.')?.split('.').collect();
    let is_domain = labels.len() == 1 || labels.get(1) == Some(&"svc");
    is_domain.then_some(run.len())
}

/// The port after a host: `:5432`, or `5432` after blanks. Its place counts from the host's end.
fn port(after: &str) -> Option<(u16, Range<usize>)> {
    let rest = after.strip_prefix(':').unwrap_or_else(|| after.trim_start_matches([' ', '\t']));
    if rest.len() == after.len() {
        return None;
    }
    let start = after.len() - rest.len();
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let ends = !rest[length..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let number = rest[..length].parse().ok().filter(|number| *number > 0 && ends)?;
    Some((number, start..start + length))
}

/// Whether what was found is the user or password of an address: an `@` follows before the address ends.
fn is_user(after: &str) -> bool {
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | ',' | ';' | '"' | '\'' | '@' | '}');
    after.find(ends).is_some_and(|position| after[position..].starts_with('@'))
}

/// Whether the text of a variable is this host, alone or in a list with commas, with or without a path.
fn is_value_of(key: Option<&str>, before: &str, after: &str) -> bool {
    let (before, after) = (before.trim(), after.trim());
    let is_item = (before.is_empty() || before.ends_with(',')) && (after.is_empty() || after.starts_with([',', '/']));
    is_item && key.is_some_and(is_host_key)
}

/// Whether a value that began with a host ends after it.
fn ends_value(after: &str) -> bool {
    after.is_empty()
        || after.starts_with(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '}' | ')' | '/'))
}

/// `host=`, `"host": "`, `--host ` or `-h ` at the end of the line so far.
fn follows_host_key(line: &str) -> bool {
    let line = line.trim_end_matches(['"', '\'']);
    let trimmed = line.trim_end();
    if let Some(left) = trimmed.strip_suffix(['=', ':']) {
        let left = left.trim_end().trim_end_matches(['"', '\'']);
        let name = left.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).next();
        return name.is_some_and(is_host_key);
    }
    let option = trimmed.rsplit(char::is_whitespace).next().unwrap_or_default();
    line.len() > trimmed.len() && option.starts_with('-') && is_host_key(option)
}

/// `server` as the first word of a statement.
fn is_nginx_server(before: &str) -> bool {
    let statement = before.rsplit(['\n', ';', '{']).next().unwrap_or_default();
    statement.ends_with([' ', '\t']) && statement.trim() == "server"
}

fn is_host_key(key: &str) -> bool {
    let name = key.to_lowercase();
    name == "-h" || HOST_KEYS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a name says that its value lists who may call.
pub fn names_callers(text: &str) -> bool {
    let text = text.to_lowercase();
    CALLER_KEYS.iter().any(|word| text.contains(word))
}

/// Whether a line that leads to a host says who may call. Options count only directly before the host, and what looks like
/// the beginning of the host's address does not count.
fn is_callers_line(line: &str) -> bool {
    let mut words = line.rsplit(|c: char| c.is_whitespace() || c == '=').enumerate();
    let counts = |(distance, word): (usize, &str)| {
        names_callers(word) && !(distance == 0 && word.contains("//")) && !(distance > 1 && word.starts_with('-'))
    };
    words.any(counts)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{ServicePort, Source};

    fn services() -> Vec<Service> {
        let service = |name: &str, port: u16| Service {
            name: name.into(),
            namespace: "default".into(),
            headless: false,
            publish_not_ready: false,
            components: vec![name.into()],
            ports: vec![ServicePort { name: None, port, target_port: port, protocol: "TCP".into() }],
            source: Source { file: "a.yaml".into(), document: 1 },
        };
        vec![service("postgres", 5432), service("redis", 6379), service("backend", 8000), service("my-app", 80)]
    }

    fn hosts(key: Option<&str>, text: &str) -> Vec<String> {
        let services = services();
        let show = |mention: Mention<'_>| match mention.port {
            Some((_, digits)) => format!("{}|{}", &text[mention.host], &text[digits]),
            None => text[mention.host].to_owned(),
        };
        mentions(key, text, ("default", &services)).into_iter().map(show).collect()
    }

    #[rstest]
    #[case::port("postgres:5432", &["postgres|5432"])]
    #[case::port_after_blank("replicaof redis 6379", &["redis|6379"])]
    #[case::pod("http://my-app-12.my-app/x", &["my-app-12.my-app"])]
    #[case::pods("postgres-0.postgres:5432,postgres-1.postgres:5432", &["postgres-0.postgres|5432", "postgres-1.postgres|5432"])]
    #[case::list("redis:6379,postgres:5432", &["redis|6379", "postgres|5432"])]
    #[case::url("http://backend/x", &["backend"])]
    #[case::url_with_another_port("http://backend:9/x", &["backend|9"])]
    #[case::namespace("redis://redis.prod:6379", &["redis.prod|6379"])]
    #[case::cluster_domain("http://backend.prod.svc.cluster.local./", &["backend.prod.svc.cluster.local"])]
    #[case::credentials("postgres://postgres:redis@postgres:5432/postgres", &["postgres|5432"])]
    #[case::password_only("redis://:secret@redis", &["redis"])]
    #[case::port_like_password("postgres://postgres:5432@redis/", &["redis"])]
    #[case::several_hosts("postgresql://u:p@postgres:5432,redis:6379/db", &["postgres|5432", "redis|6379"])]
    #[case::dsn("host=postgres port=5432 user=redis", &["postgres"])]
    #[case::quoted_yaml("host: \"redis\"", &["redis"])]
    #[case::json("{\"dbHost\": \"postgres\", \"user\": \"redis\"}", &["postgres"])]
    #[case::properties("redis.host=redis\nredis.user=redis", &["redis"])]
    #[case::option("pg_isready -h postgres -U redis", &["postgres"])]
    #[case::long_option("redis-cli --host redis", &["redis"])]
    #[case::option_with_equals("--addr=redis", &["redis"])]
    #[case::default_of_a_variable("http://${BACKEND:-backend}:8000/", &["backend|8000"])]
    #[case::default_of_a_shell("${HOST:-postgres}:5432", &["postgres|5432"])]
    #[case::full_name("nslookup redis.prod.svc.cluster.local", &["redis.prod.svc.cluster.local"])]
    #[case::nginx_server("upstream backend {\n  server backend;\n}", &["backend"])]
    #[case::nginx_server_with_port("upstream backends { server backend:8000 max_fails=3; }", &["backend|8000"])]
    #[case::nginx_proxy("proxy_pass http://backend;", &["backend"])]
    #[case::user_with_a_callers_name("postgres://trusted:x@postgres/", &["postgres"])]
    #[case::another_option("curl --allow-insecure -v http://backend/", &["backend"])]
    #[case::name_with_dash("http://my-app:80/", &["my-app|80"])]
    fn a_host(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(hosts(None, text), expected);
    }

    #[rstest]
    #[case("postgres")]
    #[case("postgres:15")]
    #[case("user=postgres")]
    #[case("http://backend.example.com/")]
    #[case("http://backend-2/")]
    #[case("http://backend_pool")]
    #[case("http://my-backend:8000")]
    #[case("the.backend:8000")]
    #[case("backend-a.backend:8000")]
    #[case("my-backend-0.backend:8000")]
    #[case("http://$backend:8000")]
    #[case("/etc/redis/redis.conf")]
    #[case("server_name backend;")]
    #[case("upstream backend {")]
    #[case("# http://backend/")]
    #[case("  # postgres:5432")]
    #[case("proxy_set_header Host backend;")]
    #[case("add_header Access-Control-Allow-Origin http://backend;")]
    #[case("allowed_hosts = backend:8000")]
    #[case("{\"allowedHosts\":[\"backend:8000\"]}")]
    #[case("--allowed-hosts backend:8000")]
    #[case("redis:63790")]
    #[case("backend 8000x")]
    #[case("éredis:6379")]
    #[case("http://é")]
    #[case("")]
    fn no_host(#[case] text: &str) {
        assert_eq!(hosts(None, text), Vec::<String>::new());
    }

    #[rstest]
    #[case("DB_HOST", "postgres", &["postgres"])]
    #[case("KAFKA_CFG_ZOOKEEPER_CONNECT", "backend", &["backend"])]
    #[case("KAFKA_BROKERS", "redis,postgres", &["redis", "postgres"])]
    #[case("PGHOST", " postgres ", &["postgres"])]
    #[case("REDIS_ADDR", "redis.prod", &["redis.prod"])]
    #[case("REDIS_URL", "redis", &["redis"])]
    #[case("CACHE_HOSTS", "redis,backend", &["redis", "backend"])]
    #[case("--host", "redis", &["redis"])]
    #[case("-h", "redis", &["redis"])]
    #[case("POSTGRES_USER", "postgres", &[])]
    #[case("POSTGRES_DB", "backend", &[])]
    #[case("DB_HOST", "postgres is a database", &[])]
    #[case("ALLOWED_HOSTS", "backend,redis:6379", &[])]
    #[case("CSRF_TRUSTED_ORIGINS", "http://backend", &[])]
    fn a_variable(#[case] name: &str, #[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(hosts(Some(name), text), expected);
    }
}
