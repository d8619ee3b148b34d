//! What a cluster cannot hold of manifests with several namespaces, since a run has one namespace there. Main function:
//! [`Plan::check`].

use super::{
    Object, Plan,
    error::{Error, ErrorKind, Errors, Faults},
    target::Target,
};

impl Plan {
    /// Whether a target can run it: in a cluster all objects get one namespace.
    ///
    /// # Errors
    /// Workloads, Services, ConfigMaps and Secrets that have the kind and name of another one, each with the remedy.
    pub fn check(&self, target: Target) -> Result<(), Errors> {
        let faults = Faults::default();
        for (index, object) in self.objects.iter().enumerate().filter(|_| target == Target::K8s) {
            let is_it = |other: &&Object| object.is_planned() && shares_name(object, other);
            let Some(first) = self.objects[..index].iter().find(is_it) else { continue };
            let message = format!(
                "its name is also that of {} in namespace {}, and a run has one namespace in a cluster",
                first.source,
                first.home()
            );
            let remedy =
                "run it on docker or local, rename one of the two, or name the manifests of one namespace alone";
            let error = Error::of_file(object.source.file.clone(), message, remedy);
            faults.push(Error { kind: ErrorKind::Duplicate, ..error }.in_object(&object.label()));
        }
        faults.into_result()
    }
}

fn shares_name(object: &Object, other: &Object) -> bool {
    object.kind == other.kind && object.name == other.name && object.group() == other.group()
}
