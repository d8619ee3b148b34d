//! Translates text written for pods to plain processes: Service names become addresses, mount paths become directories, container
//! ports become local ports. Pure. Main type: [`Translation`].

use std::{collections::BTreeMap, net::SocketAddr, sync::LazyLock};

use regex::{Captures, Regex};

/// What stands for what, for one pod.
#[derive(Debug, Default)]
pub(super) struct Translation {
    services: Vec<(Regex, SocketAddr)>,
    paths: BTreeMap<String, String>,
    mount: Option<Regex>,
    ports: BTreeMap<u16, u16>,
    work: String,
    image: String,
}

impl Translation {
    /// A translation with `{work}` as the private directory, `{image}`, and `ports` from container port to this machine's.
    pub(super) fn new(work: String, image: String, ports: BTreeMap<u16, u16>) -> Self {
        Self { work, image, ports, ..Self::default() }
    }

    /// `name:port`, `name.namespace:port` and, for port 80, a bare `//name` become `address`; the name with `namespace` only, if one is
    /// given.
    pub(super) fn service(&mut self, name: &str, namespace: Option<&str>, port: u16, address: SocketAddr) {
        let name = regex::escape(name);
        let domain = match namespace {
            Some(namespace) => format!(r"\.{}(?:\.svc(?:\.cluster\.local)?)?", regex::escape(namespace)),
            None => r"(?:\.[a-z0-9-]+(?:\.svc(?:\.cluster\.local)?)?)?".to_owned(),
        };
        self.push_service(&format!(r"(^|[^A-Za-z0-9_.\-]){name}{domain}:{port}\b"), address);
        if port == 80 {
            // Only where a host must stand: behind `//`, and not followed by another port or a longer name.
            self.push_service(&format!(r"(//){name}{domain}(?P<end>[/;\s]|$)"), address);
        }
    }

    fn push_service(&mut self, pattern: &str, address: SocketAddr) {
        // Names are escaped, so the pattern is always valid.
        self.services.push((Regex::new(pattern).expect("a valid pattern"), address));
    }

    /// A mount point becomes a directory.
    pub(super) fn path(&mut self, mount: &str, directory: &str) {
        let mount = mount.trim_end_matches('/');
        if mount.is_empty() {
            // The root itself: every path would be meant, those of this machine's programs included.
            return;
        }
        self.paths.insert(mount.to_owned(), directory.to_owned());
        // Longer mount points first, so that a mount inside another one wins.
        let mut mounts: Vec<&String> = self.paths.keys().collect();
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.len()));
        let mounts: Vec<String> = mounts.into_iter().map(|mount| regex::escape(mount)).collect();
        let pattern = format!(r"(?:^|[\s=:'(\x22])(?P<mount>{})(?:[/\s;:,')\x22]|$)", mounts.join("|"));
        // Mount points are escaped, so the pattern is always valid.
        self.mount = Some(Regex::new(&pattern).expect("a valid pattern"));
    }

    /// What a pod calls its own ports by: `localhost:port`, and for port 80 a bare `//localhost`.
    pub(super) fn own_ports(&self, text: &str) -> String {
        static OWN: LazyLock<Regex> = LazyLock::new(|| {
            let host = r"(?:localhost|127\.0\.0\.1)";
            let pattern = format!(r"(^|[^A-Za-z0-9_.\-]){host}:([0-9]+)\b|(//){host}(?P<end>[/;\s]|$)");
            Regex::new(&pattern).expect("a valid pattern")
        });
        let local = |found: &Captures<'_>| {
            let port = found.get(2).map_or(Some(80), |port| port.as_str().parse().ok());
            let local = self.ports.get(&port?)?;
            let before = found.get(1).or(found.get(3)).map_or("", |before| before.as_str());
            Some(format!("{before}127.0.0.1:{local}{}", found.name("end").map_or("", |end| end.as_str())))
        };
        OWN.replace_all(text, |found: &Captures<'_>| local(found).unwrap_or_else(|| found[0].to_owned())).into_owned()
    }

    /// Text of an env value, an argument or a mounted file.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, address) in &self.services {
            text = replace(pattern, &text, &address.to_string());
        }
        self.in_directories(&text)
    }

    /// Every mount point in one pass: a directory that took the place of one may itself begin with another, such as `/tmp`.
    fn in_directories(&self, text: &str) -> String {
        let Some(pattern) = &self.mount else { return text.to_owned() };
        let (mut translated, mut from) = (String::new(), 0);
        while let Some(mount) = pattern.captures_at(text, from).and_then(|found| found.name("mount")) {
            translated.push_str(&text[from..mount.start()]);
            translated.push_str(&self.paths[mount.as_str()]);
            // What ends one path may begin the next one.
            from = mount.end();
        }
        translated + &text[from..]
    }

    /// What stands for a path of the container: the volume that is mounted there or above, else a place in the private directory.
    pub(super) fn place(&self, path: &str) -> String {
        let mounted = self.in_directories(path);
        if mounted == path { format!("{}{path}", self.work) } else { mounted }
    }

    /// Text of a [`Program`](super::Program): `{port:N}`, `{path:P}`, `{image}` and `{work}` are filled in.
    pub(super) fn template(&self, text: &str) -> String {
        static PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{path:(/[^}]*)\}").expect("a valid pattern"));
        let text = PATH.replace_all(text, |found: &Captures<'_>| self.place(&found[1]));
        let mut text = text.replace("{work}", &self.work).replace("{image}", &self.image);
        for (container_port, port) in &self.ports {
            text = text.replace(&format!("{{port:{container_port}}}"), &port.to_string());
        }
        text
    }

    /// A mounted file with a program's rewrites, once for each declared port.
    pub(super) fn file(&self, text: &str, rewrites: &[super::Rewrite]) -> String {
        let mut text = self.text(&self.own_ports(text));
        for container_port in self.ports.keys() {
            for rewrite in rewrites {
                let fill =
                    |template: &str| self.template(&template.replace("{container_port}", &container_port.to_string()));
                // Configurations are often set in columns.
                let pattern = format!(r"{}\b", regex::escape(&fill(&rewrite.find)).replace(' ', r"[ \t]+"));
                let pattern = Regex::new(&pattern).expect("an escaped pattern is valid");
                text = pattern.replace_all(&text, regex::NoExpand(&fill(&rewrite.replace))).into_owned();
            }
        }
        text
    }
}

fn replace(pattern: &Regex, text: &str, with: &str) -> String {
    pattern
        .replace_all(text, |found: &Captures<'_>| {
            let end = found.name("end").map_or("", |end| end.as_str());
            format!("{}{with}{end}", &found[1])
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translation() -> Translation {
        let mut translation = Translation::new("/w".to_owned(), "db:1".to_owned(), BTreeMap::from([(8080, 41_080)]));
        translation.service("web", Some("shop"), 80, "127.0.0.1:41004".parse().unwrap());
        translation.service("postgres", None, 5432, "127.0.0.1:41001".parse().unwrap());
        translation.service("backend", None, 8000, "127.0.0.1:41002".parse().unwrap());
        translation.service("web", None, 80, "127.0.0.1:41003".parse().unwrap());
        translation.path("/tmp", "/w/tmp");
        translation.path("/tmp/cache", "/w/cache");
        translation
    }

    #[rstest::rstest]
    #[case::host_and_port("postgres:5432", "127.0.0.1:41001")]
    #[case::url("postgres://postgres:pw@postgres:5432/postgres", "postgres://postgres:pw@127.0.0.1:41001/postgres")]
    #[case::nginx_upstream("server backend:8000;", "server 127.0.0.1:41002;")]
    #[case::with_namespace("http://backend.shop.svc.cluster.local:8000/x", "http://127.0.0.1:41002/x")]
    #[case::default_port("http://web/health", "http://127.0.0.1:41003/health")]
    #[case::of_another_namespace(
        "http://web.shop/a http://web.shop.svc:80/",
        "http://127.0.0.1:41004/a http://127.0.0.1:41004/"
    )]
    #[case::of_the_own_namespace("http://web.other:80/", "http://127.0.0.1:41003/")]
    #[case::longer_name("my-backend:8000 backend2:8000", "my-backend:8000 backend2:8000")]
    #[case::other_port("backend:8001 backend:80001", "backend:8001 backend:80001")]
    #[case::user_not_host("POSTGRES_USER=postgres", "POSTGRES_USER=postgres")]
    #[case::path("pid /tmp/nginx.pid;", "pid /w/tmp/nginx.pid;")]
    #[case::inner_path("/tmp/cache/a", "/w/cache/a")]
    #[case::longer_path("/tmpfile /var/tmp/x", "/tmpfile /var/tmp/x")]
    fn text_becomes_true(#[case] written: &str, #[case] expected: &str) {
        assert_eq!(translation().text(written), expected);
    }

    #[rstest::rstest]
    #[case::with_a_port("redis://localhost:8080/0 127.0.0.1:8080", "redis://127.0.0.1:41080/0 127.0.0.1:41080")]
    #[case::of_another_process(
        "localhost:8081 mylocalhost:8080 127.0.0.1:80800",
        "localhost:8081 mylocalhost:8080 127.0.0.1:80800"
    )]
    #[case::default_port("http://localhost/a http://127.0.0.1", "http://127.0.0.1:41081/a http://127.0.0.1:41081")]
    fn own_ports_become_local(#[case] written: &str, #[case] expected: &str) {
        // A port of this machine may be a container's, too.
        let ports = BTreeMap::from([(8080, 41_080), (80, 41_081), (41_080, 41_082)]);
        assert_eq!(Translation::new(String::new(), String::new(), ports).own_ports(written), expected);
    }

    /// Runs are kept below `/tmp` where other users cannot reach the project.
    #[test]
    fn a_directory_is_not_translated_again() {
        let mut translation = Translation::new("/tmp/run".to_owned(), String::new(), BTreeMap::new());
        translation.path("/tmp", "/tmp/run/tmp");
        translation.path("/etc/web", "/tmp/run/web");
        assert_eq!(translation.text("-c /etc/web/a /tmp:/tmp"), "-c /tmp/run/web/a /tmp/run/tmp:/tmp/run/tmp");
    }

    #[rstest::rstest]
    #[case::the_mount("{path:/tmp}", "/w/tmp")]
    #[case::in_a_mount("{path:/tmp/cache/a}", "/w/cache/a")]
    #[case::no_mount("{path:/var/lib/db}", "/w/var/lib/db")]
    #[case::everything("{image} {work}/x:{port:8080}", "db:1 /w/x:41080")]
    fn templates_are_filled_in(#[case] template: &str, #[case] expected: &str) {
        let mut translation = translation();
        translation.path("/tmp", "/v/tmp");
        let expected = expected.replace("/w/tmp", "/v/tmp");
        assert_eq!(translation.template(template), expected);
    }

    #[test]
    fn listen_ports_are_rewritten_once() {
        let rewrite = super::super::Rewrite {
            find: "listen {container_port}".to_owned(),
            replace: "listen 127.0.0.1:{port:{container_port}}".to_owned(),
        };
        let text = translation().file("listen    8080 default_server; listen 80801;", &[rewrite]);
        assert_eq!(text, "listen 127.0.0.1:41080 default_server; listen 80801;");
    }
}
