//! Names of images, `[REGISTRY/]PATH[:TAG][@DIGEST]`, by the rules of
//! <https://github.com/distribution/reference/blob/main/reference.go>. Main type: [`ImageName`].

use std::sync::LazyLock;

use regex::Regex;

/// The grammar of whole names: a registry, names, a tag, a digest.
static GRAMMAR: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
    let registry = format!(r"(?:(?:{host}(?:\.{host})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?");
    let name = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*";
    let tag = r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?(?:@[a-zA-Z][a-zA-Z0-9+._-]*:[0-9a-fA-F]{32,})?";
    Regex::new(&format!("^{registry}{name}(?:/{name})*{tag}$")).expect("the grammar is a pattern")
});

/// The parts of an image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageName<'a> {
    /// Registry and path as they are written: `registry:5000/bitnami/redis`.
    pub name: &'a str,
    /// The tag, without its colon.
    pub tag: Option<&'a str>,
    /// The digest, `sha256:...`.
    pub digest: Option<&'a str>,
}

impl<'a> ImageName<'a> {
    /// Whether a text can be the name of an image: an engine refuses any other.
    pub(crate) fn is_valid(text: &str) -> bool {
        GRAMMAR.is_match(text)
    }

    /// Splits a name. Any text has parts, valid or not.
    pub fn new(text: &'a str) -> Self {
        let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
        // A colon before a slash stands before a registry's port.
        let tagged = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let (name, tag) = tagged.map_or((rest, None), |(name, tag)| (name, Some(tag)));
        Self { name, tag, digest }
    }

    /// `redis` of `registry:5000/bitnami/redis:7`.
    pub fn last(&self) -> &'a str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }

    /// The registry and the path in it: `docker.io` and `library/redis` of `redis`.
    pub fn place(&self) -> (&'a str, String) {
        match self.name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => ("docker.io", self.name.to_owned()),
            None => ("docker.io", format!("library/{}", self.name)),
        }
    }

    /// The tag and the digest as they stand behind a name; what names neither means `:latest`.
    pub fn version(&self) -> String {
        let part = |mark: char, part: Option<&str>| part.map(|part| format!("{mark}{part}")).unwrap_or_default();
        match (self.tag, self.digest) {
            (None, None) => ":latest".to_owned(),
            (tag, digest) => part(':', tag) + &part('@', digest),
        }
    }

    /// `docker.io/library/nginx:latest` for `nginx`.
    pub fn whole(&self) -> String {
        let (registry, path) = self.place();
        format!("{registry}/{path}{}", self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("redis", "redis", None, None, "docker.io/library/redis:latest")]
    #[case("redis:7", "redis", Some("7"), None, "docker.io/library/redis:7")]
    #[case("bitnami/redis", "redis", None, None, "docker.io/bitnami/redis:latest")]
    #[case("redis@sha256:00", "redis", None, Some("sha256:00"), "docker.io/library/redis@sha256:00")]
    #[case("a.io/b/c:1@sha256:00", "c", Some("1"), Some("sha256:00"), "a.io/b/c:1@sha256:00")]
    #[case("registry:5000/bitnami/valkey", "valkey", None, None, "registry:5000/bitnami/valkey:latest")]
    #[case("localhost/x", "x", None, None, "localhost/x:latest")]
    fn parts(
        #[case] text: &str,
        #[case] last: &str,
        #[case] tag: Option<&str>,
        #[case] digest: Option<&str>,
        #[case] whole: &str,
    ) {
        let name = ImageName::new(text);
        assert_eq!((name.last(), name.tag, name.digest, name.whole().as_str()), (last, tag, digest, whole));
    }
}
