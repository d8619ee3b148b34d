//! Mutants of manifests: each has one mistake of a kind that people make, to see whether anything notices it. Main function: [`mutants`].
//!
//! Y. Zhang, U. Paul, M. d'Amorim and A. Rahman, "Configuration Defects in Kubernetes", arXiv 2512.05062 (2025), study such mistakes in
//! 2,260 public scripts.

mod operator;

use serde::Serialize;
use serde_json::{Value, json};

pub use self::operator::Operator;
use crate::{Object, Source};

/// The manifests with one mistake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mutant {
    /// What was done.
    pub operator: Operator,
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Where the object is declared.
    pub source: Source,
    /// The changed field, as a JSON pointer into the object.
    pub pointer: String,
    /// The change.
    pub change: Change,
}

/// What happens to a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there.
    Add(Value),
    /// It is gone.
    Remove,
    /// It has another value.
    Replace(Value),
}

impl Mutant {
    /// A kustomization that makes the change, to be used as an overlay.
    pub fn kustomization(&self) -> String {
        let Self { kind, name, pointer, .. } = self;
        let operation = match &self.change {
            Change::Add(value) => json!([{ "op": "add", "path": pointer, "value": value }]),
            Change::Remove => json!([{ "op": "remove", "path": pointer }]),
            Change::Replace(value) => json!([{ "op": "replace", "path": pointer, "value": value }]),
        };
        let patch = json!({ "target": { "kind": kind, "name": name }, "patch": operation.to_string() });
        format!("# {self}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\npatches:\n  - {patch}\n")
    }
}

impl std::fmt::Display for Mutant {
    /// Without the value that was there: it may be confidential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, pointer, .. } = self;
        match &self.change {
            Change::Add(value) => write!(f, "{kind}/{name}: adds {pointer}: {value}"),
            Change::Remove => write!(f, "{kind}/{name}: removes {pointer}"),
            Change::Replace(_) if self.operator.is_confidential() => {
                write!(f, "{kind}/{name}: changes the value of {pointer}")
            }
            Change::Replace(value) => write!(f, "{kind}/{name}: sets {pointer} to {value}"),
        }
    }
}

/// The mutants of objects, in the order of the objects and of their fields. Secrets and objects of a whole cluster have none.
pub fn mutants(objects: &[Object]) -> Vec<Mutant> {
    let own = objects.iter().filter(|object| !object.cluster_scoped && object.kind != "Secret");
    own.flat_map(|object| {
        operator::changes(object).into_iter().map(|(operator, pointer, change)| Mutant {
            operator,
            kind: object.kind.clone(),
            name: object.name.clone(),
            source: object.source.clone(),
            pointer,
            change,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests;
