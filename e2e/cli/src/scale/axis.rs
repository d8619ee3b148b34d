//! What a study has more and more of. Main type: [`Axis`].

use std::path::{Path, PathBuf};

use e2e_plan::{Component, Plan, words::counted};
use e2e_run::{
    Options,
    config::{Config, Shards},
};
use serde::Serialize;

use crate::failure::BadInput;

/// What there is one, two or more of.
#[derive(Debug, Clone)]
pub(super) enum Axis {
    /// Pods of a component.
    Replicas(Box<Component>),
    /// Pods that store a part of a component's data each, by an overlay for each number of them.
    Shards(Shards),
}

/// Its kind, in the study's data and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Replicas,
    Shards,
}

impl Kind {
    /// `1 replica`, `2 shards`.
    pub(super) fn counted(self, level: u32) -> String {
        counted(level, self.word())
    }

    /// The singular.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Replicas => "replica",
            Self::Shards => "shard",
        }
    }
}

impl Axis {
    /// The shards that the configuration declares, with an overlay for each of the levels.
    pub(super) fn of_shards(root: &Path, config: &Config, plan: &Plan, levels: &[u32]) -> Result<Self, BadInput> {
        let Some(shards) = &config.shards else {
            let text = "--shards needs [shards] in .config/e2e.toml: the `component`, and the `overlay` that makes {n} shards of it";
            return Err(BadInput(text.to_owned()));
        };
        plan.require_component(&shards.component).map_err(|error| BadInput(format!("shards.component: {error}")))?;
        for level in levels.iter().filter(|level| **level > 1) {
            let overlay = overlay(root, shards, *level);
            if !overlay.is_dir() {
                return Err(BadInput(format!("--shards {level}: there is no overlay {}", overlay.display())));
            }
        }
        Ok(Self::Shards(shards.clone()))
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Replicas(_) => Kind::Replicas,
            Self::Shards(_) => Kind::Shards,
        }
    }

    /// The component's name.
    pub(super) fn component(&self) -> &str {
        match self {
            Self::Replicas(component) => &component.name,
            Self::Shards(shards) => &shards.component,
        }
    }

    /// Gives a run so many of it.
    pub(super) fn apply(&self, options: &mut Options, level: u32) {
        match self {
            Self::Replicas(component) => drop(options.replicas.insert(component.name.clone(), level)),
            // One is what the manifests describe.
            Self::Shards(_) if level == 1 => {}
            Self::Shards(shards) => options.overlays.push(overlay(&options.root, shards, level)),
        }
    }
}

fn overlay(root: &Path, shards: &Shards, level: u32) -> PathBuf {
    root.join(shards.overlay.replace("{n}", &level.to_string()))
}
