//! Labels by which everybody sees what is a run's in a cluster. Main function: [`labels`].

use crate::provider::owner::owner_labels;

/// Label that says which program looks after an object
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>).
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// This program in that label, and as the field manager of everything that is applied.
pub(super) const MANAGER: &str = "e2e";

/// Labels of everything that a run makes.
pub(super) fn labels(run_id: &str) -> [(String, String); 3] {
    let [run, owner] = owner_labels(run_id);
    [(MANAGED_BY.to_owned(), MANAGER.to_owned()), run, owner]
}
