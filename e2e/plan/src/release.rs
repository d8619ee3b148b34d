//! Hooks of helm: objects that an installation makes before or after all others, one after another. Main type: [`ReleaseHook`].

use serde::Serialize;

use super::document::Document;

/// How the annotations begin that helm itself reads, and no cluster.
pub(crate) const PREFIX: &str = "helm.sh/";
/// The annotation by which helm says when an object is made.
pub(crate) const HOOK: &str = "helm.sh/hook";
/// The annotation that orders the hooks of one moment, from the smallest number.
const WEIGHT: &str = "helm.sh/hook-weight";

/// When an installation makes an object of its own. The order is the one in which helm goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ReleaseHook {
    /// Before or after the other objects.
    pub moment: Moment,
    /// `helm.sh/hook-weight`: those with a smaller one come first.
    pub weight: i64,
}

/// The moments of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Moment {
    /// `pre-install`: helm creates nothing else until it has ended.
    PreInstall,
    /// `post-install`: helm has made everything else.
    PostInstall,
}

/// The annotation that says when Argo CD makes an object.
pub(crate) const ARGO_HOOK: &str = "argocd.argoproj.io/hook";

fn sync_moments(object: &Document) -> impl Iterator<Item = &str> {
    let hook = object.node.text_at(&["metadata", "annotations", ARGO_HOOK]);
    hook.into_iter().flat_map(|hook| hook.split(',')).map(str::trim)
}

/// Whether Argo CD makes an object before the others.
pub(crate) fn is_pre_sync(object: &Document) -> bool {
    sync_moments(object).any(|moment| moment == "PreSync")
}

/// Whether Argo CD makes an object after the others, or only in another case, such as a failure.
pub(crate) fn is_made_later(object: &Document) -> bool {
    let mut moments = sync_moments(object).peekable();
    moments.peek().is_some() && moments.all(|moment| !matches!(moment, "PreSync" | "Sync"))
}

/// What the annotations of an object say of hooks.
pub(crate) enum Hooking {
    /// It is no hook.
    None,
    /// An installation makes it.
    Installs(ReleaseHook),
    /// Something else makes it, such as `test` or `pre-upgrade`.
    Other(String),
}

pub(crate) fn hooking(object: &Document) -> Hooking {
    let annotation = |name| object.node.text_at(&["metadata", "annotations", name]);
    let Some(text) = annotation(HOOK) else { return Hooking::None };
    let hooks: Vec<String> = text.split(',').map(|hook| hook.trim().to_lowercase()).collect();
    let has = |hook: &str| hooks.iter().any(|own| own == hook);
    let moment = match (has("pre-install"), has("post-install")) {
        (true, _) => Moment::PreInstall,
        (false, true) => Moment::PostInstall,
        // helm 2 made definitions so, and helm 3 whatever stands in `crds/`.
        (false, false) if has("crd-install") => return Hooking::None,
        (false, false) => return Hooking::Other(text.to_owned()),
    };
    // As helm does, which counts what is no number as 0.
    let weight = annotation(WEIGHT).and_then(|text| text.parse().ok()).unwrap_or(0);
    Hooking::Installs(ReleaseHook { moment, weight })
}

/// The hook of an object that an installation makes.
pub(crate) fn hook(object: &Document) -> Option<ReleaseHook> {
    match hooking(object) {
        Hooking::Installs(hook) => Some(hook),
        Hooking::None | Hooking::Other(_) => None,
    }
}
