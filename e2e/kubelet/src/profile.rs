//! Differences between kubelet versions, as data. Pure. Main type: [`Profile`].

use crate::observation::{Kind, Observation};

/// The behaviour of one kubelet version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `<major>.<minor>` of the kubelet for `User-Agent: kube-probe/...`; the minor may end in `+`.
    pub version: String,
    /// Whether `Accept: */*` is sent (1.20 and later).
    pub accept: bool,
    /// Whether `Accept-Encoding: gzip` is sent (before 1.20).
    pub accept_encoding: bool,
    /// Whether names of httpHeaders are written in Go's canonical form (1.26 and later). Older versions keep a name as declared;
    /// `host` in lower case is then an additional header instead of the request's Host.
    pub canonical: bool,
    /// Whether the event of a probe that errored names the resulting state (1.33 and later).
    pub names_state: bool,
    /// Whether a command missing from the container counts as a failure. Docker, the runtime of kubelets up to 1.23, reports an
    /// exit status; every other runtime reports an error, which does not count.
    pub missing_command_fails: bool,
    /// Whether a readiness probe is sent as soon as the container runs instead of at the next tick of its period, and a startup probe's
    /// result has its effect at once instead of at the pod's next sync (1.21 and later).
    pub acts_at_once: bool,
    /// What its HTTP client accepts.
    pub tolerance: Tolerance,
}

/// What a kubelet's HTTP client accepts, by the version of Go that the kubelet is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// Whether a server's certificate may have a negative serial number (before 1.32, with Go 1.23).
    pub negative_serial: bool,
    /// Whether the RSA key of a server's certificate may be longer than 8192 bits (before 1.28, with Go 1.20.7).
    pub long_rsa_key: bool,
    /// Whether any number of 1xx responses may precede the answer, as long as they are small (1.33 and later, with Go 1.24).
    pub many_informational: bool,
}

impl Tolerance {
    /// The behaviour of current kubelets.
    pub const CURRENT: Self = Self { negative_serial: false, long_rsa_key: false, many_informational: true };
}

impl Profile {
    /// The newest version with a recording: the default.
    pub const CURRENT: &str = "1.36";

    /// The profile of a kubelet version, like `1.32`, `1.20+` or `v1.36.2`.
    #[must_use]
    pub fn of_version(version: &str) -> Self {
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let number = match (major, minor.trim_end_matches('+').parse()) {
            ("1", Ok(number)) => number,
            _ => u32::MAX,
        };
        Self {
            version: if minor.is_empty() { version.to_owned() } else { format!("{major}.{minor}") },
            accept: number >= 20,
            accept_encoding: number < 20,
            canonical: number >= 26,
            names_state: number >= 33,
            missing_command_fails: number < 24,
            acts_at_once: number >= 21,
            tolerance: Tolerance {
                negative_serial: number < 32,
                long_rsa_key: number < 28,
                many_informational: number >= 33,
            },
        }
    }

    /// The event's text for a probe that errored, after `Readiness probe `.
    pub fn errored(&self, observation: &Observation) -> String {
        let message = &observation.message;
        // A truncated answer is a failure (`DoHTTPProbe`); without any request the state is unknown.
        let state = match observation.kind {
            Kind::CannotExec | Kind::Unreachable => "unknown",
            _ => "failure",
        };
        match self.names_state {
            true => format!("errored and resulted in {state} state: {message}"),
            false => format!("errored: {message}"),
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::of_version(Self::CURRENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Verdict;

    #[test]
    fn a_version_is_read_as_clusters_and_people_write_it() {
        let of = |version| Profile::of_version(version).version;
        assert_eq!(["1.32", "1.20+", "v1.36.2", "v1.33.1+k3s1"].map(of), ["1.32", "1.20+", "1.36", "1.33"]);
        let (old, new) = (Profile::of_version("v1.20.2"), Profile::of_version("v1.36.2"));
        assert!(old.missing_command_fails && !old.canonical && !old.acts_at_once);
        assert!(!new.missing_command_fails && new.canonical && new.acts_at_once);
        assert_eq!(new.tolerance, Tolerance::CURRENT);
    }

    #[test]
    fn a_probe_that_errored_is_worded_by_version() {
        let missing = Observation::new(Verdict::Errored, Kind::CannotExec, "no such file");
        let short = Observation::new(Verdict::Errored, Kind::Truncated, "unexpected EOF");
        let said = |version, observation| Profile::of_version(version).errored(observation);
        assert_eq!(said("1.32", &missing), "errored: no such file");
        assert_eq!(said("1.36", &missing), "errored and resulted in unknown state: no such file");
        assert_eq!(said("1.36", &short), "errored and resulted in failure state: unexpected EOF");
    }
}
