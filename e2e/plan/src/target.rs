//! Where the system runs. Main type: [`Target`].

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The three places where one set of manifests can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Containers of a Docker engine.
    Docker,
    /// Plain processes of this machine.
    Local,
    /// Pods of a Kubernetes cluster.
    K8s,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Local, Self::K8s];

    /// The name on the command line, in reports and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Local => "local",
            Self::K8s => "k8s",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A target's name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no target `{0}`; write docker, local, k8s or auto")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        Self::ALL.into_iter().find(|target| target.as_str() == text).ok_or_else(|| UnknownTarget(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
            assert_eq!(serde_json::to_value(target).ok(), Some(target.as_str().into()));
        }
        let error = "podman".parse::<Target>().map_err(|error| error.to_string());
        assert_eq!(error, Err("there is no target `podman`; write docker, local, k8s or auto".into()));
    }
}
