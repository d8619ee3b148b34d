//! Changes from the command line: single environment variables and numbers of replicas. Main type: [`EnvOverride`].

use std::{collections::BTreeMap, path::Path, str::FromStr, sync::Arc};

use super::{
    error::{Error, ErrorKind, Faults},
    node::{Entry, Node, Place, Tree},
    read::Object,
    suggest::hint,
    workload::pod_keys,
};

/// One environment variable of one component, written as `component.env.NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvOverride {
    /// The component's name.
    pub component: String,
    /// The variable's name.
    pub name: String,
    /// Its new value; `$(NAME)` in it is replaced as in a manifest.
    pub value: String,
}

impl FromStr for EnvOverride {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |message: String| Err(Error::new(ErrorKind::Override, message, "write component.env.NAME=value"));
        let Some((left, value)) = text.split_once('=') else {
            return bad(format!("`{text}` has no `=`"));
        };
        let Some((component, name)) = left.split_once(".env.") else {
            return bad(format!("`{left}` does not name an environment variable"));
        };
        if component.is_empty() || name.is_empty() {
            let what = if component.is_empty() { "component" } else { "variable" };
            return bad(format!("`{left}` names no {what}"));
        }
        Ok(Self { component: component.to_owned(), name: name.to_owned(), value: value.to_owned() })
    }
}

/// Applies the overrides to the objects.
pub(crate) fn apply(objects: &mut [Object], sets: &[EnvOverride], replicas: &BTreeMap<String, u32>, faults: &Faults) {
    for set in sets {
        let flag = format!("--set {}.env.{}", set.component, set.name);
        if let Some(object) = faults.keep(workload(objects, &set.component, &flag)) {
            set_env(object, set, &place(&flag));
        }
    }
    for (component, count) in replicas {
        let flag = format!("--replicas {component}={count}");
        let place = place(&flag);
        let Some(object) = faults.keep(workload(objects, component, &flag)) else { continue };
        let field = match object.kind.as_str() {
            "Pod" | "DaemonSet" => {
                let message = format!("a {} has no number of replicas", object.kind);
                faults.push(Error::new(ErrorKind::Override, message, "leave the flag out").at(&place));
                continue;
            }
            "Job" => "completions",
            _ => "replicas",
        };
        if let Some(spec) = object.node.get_or_insert("spec", Tree::Map(Vec::new()), &place) {
            spec.set(field, Tree::Int((*count).into()), &place);
        }
    }
}

/// A place on the command line.
fn place(flag: &str) -> Place {
    Place { file: Arc::from(Path::new(flag)), document: 0, line: 0, column: 0 }
}

fn workload<'a>(objects: &'a mut [Object], name: &str, flag: &str) -> Result<&'a mut Object, Error> {
    let Some(index) = objects.iter().position(|object| object.is_workload() && object.name == name) else {
        let names = objects.iter().filter(|object| object.is_workload()).map(|object| object.name.as_str());
        let message = format!("there is no component `{name}`");
        return Err(Error::new(ErrorKind::Override, message, hint(name, names, "components")).at(&place(flag)));
    };
    Ok(&mut objects[index])
}

/// Replaces or appends the variable in the first container. A manifest without containers is refused later.
fn set_env(object: &mut Object, set: &EnvOverride, place: &Place) {
    let keys = pod_keys(&object.kind);
    let spec = keys.iter().try_fold(&mut object.node, |node, key| node.get_mut(key));
    let containers = spec.and_then(|spec| spec.get_mut("containers"));
    let Some(Node { tree: Tree::List(containers), .. }) = containers else { return };
    let Some(container) = containers.first_mut() else { return };
    let Some(env) = container.get_or_insert("env", Tree::List(Vec::new()), place) else { return };
    let Tree::List(variables) = &mut env.tree else { return };
    let field = |key: &str, text: &str| Entry {
        key: key.to_owned(),
        place: place.clone(),
        node: Node::new(Tree::Text(text.to_owned()), place),
    };
    let variable = Node::new(Tree::Map(vec![field("name", &set.name), field("value", &set.value)]), place);
    match variables.iter_mut().find(|variable| variable.item_name() == Some(&set.name)) {
        Some(old) => *old = variable,
        None => variables.push(variable),
    }
}
