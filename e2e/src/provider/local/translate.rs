//! Text that was written for pods, made true for plain processes: Service names become addresses, mount paths become
//! directories, container ports become this machine's ports. Pure. Main type: [`Translation`].

use std::{collections::BTreeMap, net::SocketAddr};

use regex::{Captures, Regex};

/// What stands for what, for one pod.
#[derive(Debug, Default)]
pub(super) struct Translation {
    services: Vec<(Regex, SocketAddr)>,
    paths: Vec<(Regex, String)>,
    ports: BTreeMap<u16, u16>,
    work: String,
}

impl Translation {
    /// A translation with `{work}` as the private directory and `ports` from container port to this machine's.
    pub(super) fn new(work: String, ports: BTreeMap<u16, u16>) -> Self {
        Self { work, ports, ..Self::default() }
    }

    /// `name:port`, `name.namespace:port` and, for port 80, a bare `//name` become `address`.
    pub(super) fn service(&mut self, name: &str, port: u16, address: SocketAddr) {
        let name = regex::escape(name);
        let domain = r"(?:\.[a-z0-9-]+(?:\.svc(?:\.cluster\.local)?)?)?";
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
        let pattern =
            format!(r"(^|[\s=:'(\x22]){}(?P<end>[/\s;:,')\x22]|$)", regex::escape(mount.trim_end_matches('/')));
        self.paths.push((Regex::new(&pattern).expect("a valid pattern"), directory.to_owned()));
        // Longer mount points first, so that a mount inside another one wins.
        self.paths.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.as_str().len()));
    }

    /// Text of an env value, an argument or a mounted file.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, address) in &self.services {
            text = replace(pattern, &text, &address.to_string());
        }
        for (pattern, directory) in &self.paths {
            text = replace(pattern, &text, directory);
        }
        text
    }

    /// Text of a [`Program`](super::Program): `{port:N}` and `{work}` are filled in.
    pub(super) fn template(&self, text: &str) -> String {
        let mut text = text.replace("{work}", &self.work);
        for (container_port, port) in &self.ports {
            text = text.replace(&format!("{{port:{container_port}}}"), &port.to_string());
        }
        text
    }

    /// A mounted file with a program's rewrites, once for each declared port.
    pub(super) fn file(&self, text: &str, rewrites: &[super::Rewrite]) -> String {
        let mut text = self.text(text);
        for container_port in self.ports.keys() {
            for rewrite in rewrites {
                let fill =
                    |template: &str| self.template(&template.replace("{container_port}", &container_port.to_string()));
                let pattern = format!(r"{}\b", regex::escape(&fill(&rewrite.find)));
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
        let mut translation = Translation::new("/w".to_owned(), BTreeMap::from([(8080, 41_080)]));
        translation.service("postgres", 5432, "127.0.0.1:41001".parse().unwrap());
        translation.service("backend", 8000, "127.0.0.1:41002".parse().unwrap());
        translation.service("web", 80, "127.0.0.1:41003".parse().unwrap());
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
    #[case::longer_name("my-backend:8000 backend2:8000", "my-backend:8000 backend2:8000")]
    #[case::other_port("backend:8001 backend:80001", "backend:8001 backend:80001")]
    #[case::user_not_host("POSTGRES_USER=postgres", "POSTGRES_USER=postgres")]
    #[case::path("pid /tmp/nginx.pid;", "pid /w/tmp/nginx.pid;")]
    #[case::inner_path("/tmp/cache/a", "/w/cache/a")]
    #[case::longer_path("/tmpfile /var/tmp/x", "/tmpfile /var/tmp/x")]
    fn text_becomes_true(#[case] written: &str, #[case] expected: &str) {
        assert_eq!(translation().text(written), expected);
    }

    #[test]
    fn listen_ports_are_rewritten_once() {
        let rewrite = super::super::Rewrite {
            find: "listen {container_port}".to_owned(),
            replace: "listen 127.0.0.1:{port:{container_port}}".to_owned(),
        };
        let text = translation().file("listen 8080 default_server; listen 80801;", &[rewrite]);
        assert_eq!(text, "listen 127.0.0.1:41080 default_server; listen 80801;");
    }
}
