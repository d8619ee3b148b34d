//! Changes from the command line: single environment variables and numbers of replicas. Main type: [`EnvOverride`].

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use regex::{Captures, Regex};
use serde_json::Value as Json;

use super::{
    Component, Plan,
    document::Document,
    error::{Error, ErrorKind, Faults},
    node::{Node, Place, Tree},
    pod::{Container, Secret, Value},
    suggest::{hint, no_component},
    workload::pod_keys,
};

/// What stands in place of a text that is not shown.
const HIDDEN: &str = "***";
/// The "Secret" of values that are secret and come from the command line.
const FLAG: &str = "--set";
/// Parts of variables' names that tell a secret value. The list errs on the side of hiding.
const SECRET_NAMES: &[&str] = &[
    "PASS", "PWD", "SECRET", "TOKEN", "KEY", "CRED", "AUTH", "PRIVATE", "SIGN", "SALT", "CERT", "DSN", "COOKIE",
    "WEBHOOK",
];

/// One environment variable of one component, written as `component.env.NAME=value` or `component/container.env.NAME=value`.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvOverride {
    /// The component's name.
    pub component: String,
    /// The container's or init container's name; the first container unless set.
    pub container: Option<String>,
    /// The variable's name.
    pub name: String,
    /// Its new value; `$(NAME)` in it is replaced as in a manifest.
    pub value: String,
}

impl fmt::Display for EnvOverride {
    /// What it sets, without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = self.container.iter().map(|container| format!("/{container}")).collect::<String>();
        write!(f, "{}{container}.env.{}", self.component, self.name)
    }
}

impl fmt::Debug for EnvOverride {
    /// Leaves the value out: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvOverride({self})")
    }
}

impl EnvOverride {
    /// As it was written, with `***` for a value that the plan made with it hides.
    #[must_use]
    pub fn shown(&self, plan: &Plan) -> String {
        let key = self.to_string();
        let is_hidden = plan.secrets().iter().any(|secret| secret.name == FLAG && secret.key == key);
        format!("{key}={}", if is_hidden { HIDDEN } else { &self.value })
    }

    /// Whether the name of the variable, or a login in an address, tells that the value is secret.
    fn looks_secret(&self) -> bool {
        let has_login = || {
            let (_, after) = self.value.split_once("://")?;
            let authority = after.split(['/', '?']).next()?;
            authority.rsplit_once('@')?.0.split_once(':')
        };
        is_secret_name(&self.name) || has_login().is_some()
    }

    /// The container that it is for, among those of a component.
    fn container<'a>(&self, component: &'a mut Component) -> Option<&'a mut Container> {
        let pod = &mut component.pod;
        match &self.container {
            None => pod.containers.first_mut(),
            Some(name) => pod.containers.iter_mut().chain(&mut pod.init_containers).find(|own| own.name == *name),
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// A command as it may be shown: without the values of what has a secret's name, as in `--set db.password=...`,
/// `--set=db.password="..."` and `--set 'db.password=...'`. A backslash escapes a comma of helm's.
pub(crate) fn shown_command(command: &str) -> String {
    static JSON: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(--set-json[ =])(?:'[^']*'|"[^"]*"|\S+)"#));
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(['"])([\w.\[\]-]+)=(?:'\\''|[^'"])*['"]"#));
    // An option, a name, and a value in quotes or without.
    static ASSIGNMENT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"(--[\w-]+=)?([\w.\[\]-]+)=("[^"]*"|'[^']*'|(?:\\.|[^\s,'"|;&\\])+)"#));
    let command = JSON.replace_all(command, format!("${{1}}{HIDDEN}"));
    let command = QUOTED.replace_all(&command, |found: &Captures<'_>| match is_secret_name(&found[0]) {
        true => format!("{0}{1}={HIDDEN}{0}", &found[1], &found[2]),
        false => found[0].to_owned(),
    });
    let hide = |found: &Captures<'_>| match is_secret_name(&found[2]) {
        true => format!("{}{}={HIDDEN}", found.get(1).map_or("", |option| option.as_str()), &found[2]),
        false => found[0].to_owned(),
    };
    ASSIGNMENT.replace_all(&command, hide).into_owned()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is valid")
}

impl Plan {
    /// An object as it may be shown: without the values of Secrets and those that the command line set in their place.
    #[must_use]
    pub fn shown(&self, object: &super::Object) -> Json {
        let mut json = object.json.clone();
        if object.kind == "Secret" {
            for field in ["data", "stringData"] {
                let values = json.get_mut(field).and_then(Json::as_object_mut);
                values.into_iter().flatten().for_each(|(_, value)| *value = HIDDEN.into());
            }
        }
        let secrets: Vec<&Secret> = self.secrets().into_iter().filter(|secret| secret.name == FLAG).collect();
        hide_values(&mut json, &secrets);
        json
    }
}

/// Hides the variables of a tree that hold one of these.
fn hide_values(json: &mut Json, secrets: &[&Secret]) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| hide_values(item, secrets)),
        Json::Object(fields) => {
            let is_set = |secret: &&Secret| {
                let name = fields.get("name").and_then(Json::as_str);
                let value = fields.get("value").and_then(Json::as_str);
                value == Some(&secret.text) && name == secret.key.rsplit_once(".env.").map(|(_, name)| name)
            };
            match secrets.iter().any(is_set) {
                true => drop(fields.insert("value".to_owned(), HIDDEN.into())),
                false => fields.values_mut().for_each(|field| hide_values(field, secrets)),
            }
        }
        _ => {}
    }
}

impl FromStr for EnvOverride {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |message: String| Err(Error::new(ErrorKind::Override, message, "write component.env.NAME=value"));
        let Some((left, value)) = text.split_once('=') else {
            // What stands there may be the value, which may be secret.
            return bad("it has no `=`".to_owned());
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let shown = if left.chars().all(is_name) { format!("`{left}`") } else { "what stands before `=`".to_owned() };
        let Some((component, name)) = left.split_once(".env.") else {
            return bad(format!("{shown} does not name an environment variable"));
        };
        if component.is_empty() || name.is_empty() {
            let what = if component.is_empty() { "component" } else { "variable" };
            return bad(format!("{shown} names no {what}"));
        }
        let (component, container) = match component.split_once('/') {
            Some((component, container)) => (component, Some(container.to_owned())),
            None => (component, None),
        };
        Ok(Self { component: component.to_owned(), container, name: name.to_owned(), value: value.to_owned() })
    }
}

/// Applies the overrides to the objects. Returns those whose values are secret, or take the place of a secret one.
pub(crate) fn apply<'a>(
    objects: &mut [Document],
    sets: &'a [EnvOverride],
    replicas: &BTreeMap<String, u32>,
    faults: &Faults,
) -> Vec<&'a EnvOverride> {
    let mut secret = Vec::new();
    for set in sets {
        let flag = format!("{FLAG} {set}");
        let Some(object) = faults.keep(workload(objects, &set.component, &flag)) else { continue };
        let was_secret = faults.keep(set_env(object, set, &place(&flag))).unwrap_or_default();
        if was_secret || set.looks_secret() {
            secret.push(set);
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
    secret
}

/// Makes what was set secret in the components too, so that no output shows it.
pub(crate) fn hide(components: &mut [Component], secret: &[&EnvOverride]) {
    for set in secret {
        let component = components.iter_mut().find(|component| component.name == set.component);
        let Some(container) = component.and_then(|component| set.container(component)) else { continue };
        for variable in container.env.iter_mut().filter(|variable| variable.name == set.name) {
            let text = set.value.clone();
            variable.value = Value::Secret(Secret { name: FLAG.to_owned(), key: set.to_string(), text });
        }
    }
}

/// A place on the command line.
fn place(flag: &str) -> Place {
    Place { file: Arc::from(Path::new(flag)), document: 0, line: 0, column: 0 }
}

fn workload<'a>(objects: &'a mut [Document], name: &str, flag: &str) -> Result<&'a mut Document, Error> {
    let Some(index) = objects.iter().position(|object| object.is_workload() && object.name == name) else {
        let names = objects.iter().filter(|object| object.is_workload()).map(|object| object.name.as_str());
        let (message, remedy) = no_component(name, names);
        return Err(Error::new(ErrorKind::Override, message, remedy).at(&place(flag)));
    };
    Ok(&mut objects[index])
}

/// Replaces or appends the variable; whether it came from a Secret. A manifest without containers is refused later.
fn set_env(object: &mut Document, set: &EnvOverride, place: &Place) -> Result<bool, Error> {
    let Some(spec) = object.node.find_mut(pod_keys(&object.kind)) else { return Ok(false) };
    let fields = ["containers", "initContainers"];
    let names: Vec<(&str, usize, String)> = fields
        .into_iter()
        .flat_map(|field| {
            let items = spec.items_at(&[field]).iter().enumerate();
            items.map(move |(index, item)| (field, index, item.item_name().unwrap_or_default().to_owned()))
        })
        .collect();
    let found = match &set.container {
        None => names.iter().find(|(field, ..)| *field == "containers"),
        Some(wanted) => names.iter().find(|(.., name)| name == wanted),
    };
    let Some((field, index, _)) = found else {
        let Some(wanted) = &set.container else { return Ok(false) };
        let message = format!("the component `{}` has no container `{wanted}`", set.component);
        let remedy = hint(wanted, names.iter().map(|(.., name)| name.as_str()), "containers");
        return Err(Error::new(ErrorKind::Override, message, remedy).at(place));
    };
    let Some(Node { tree: Tree::List(containers), .. }) = spec.get_mut(field) else { return Ok(false) };
    let env = containers.get_mut(*index).and_then(|own| own.get_or_insert("env", Tree::List(Vec::new()), place));
    let Some(Node { tree: Tree::List(variables), .. }) = env else { return Ok(false) };
    let mut variable = Node::new(Tree::Map(Vec::new()), place);
    variable.set("name", Tree::Text(set.name.clone()), place);
    variable.set("value", Tree::Text(set.value.clone()), place);
    match variables.iter_mut().find(|variable| variable.item_name() == Some(&set.name)) {
        Some(old) => {
            let was_secret = old.find(&["valueFrom", "secretKeyRef"]).is_some();
            *old = variable;
            Ok(was_secret)
        }
        None => {
            variables.push(variable);
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{Input, Manifest, Objects};

    const MANIFEST: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: app }
spec:
  initContainers: [{ name: first, image: x }]
  containers:
    - name: app
      image: x
      env:
        - { name: LOGIN, valueFrom: { secretKeyRef: { name: login, key: text } } }
    - { name: side, image: x }
---
apiVersion: v1
kind: Secret
metadata: { name: login }
stringData: { text: hunter2 }
";

    fn plan(set: &str) -> Result<(EnvOverride, Plan), crate::Errors> {
        let objects = Objects::read(&[Manifest { file: "app.yaml".into(), text: MANIFEST.to_owned() }]);
        let set: EnvOverride = set.parse().expect("an override");
        let (replicas, given) = (BTreeMap::new(), Vec::new());
        let generate = &mut |_: &str, _: &str| String::new();
        let plan = Plan::from_manifests(Input { objects, sets: vec![set.clone()], replicas, given, generate })?;
        Ok((set, plan))
    }

    #[rstest]
    #[case::the_first_container("app.env.LEVEL=info", "app")]
    #[case::another_one("app/side.env.LEVEL=info", "side")]
    #[case::an_init_container("app/first.env.LEVEL=info", "first")]
    fn a_variable_is_set_in_one_container(#[case] text: &str, #[case] expected: &str) {
        let (set, plan) = plan(text).expect("a plan");
        let pod = &plan.components[0].pod;
        let containers = pod.containers.iter().chain(&pod.init_containers);
        let changed = containers.filter(|own| own.env.iter().any(|variable| variable.name == "LEVEL"));
        assert_eq!(changed.map(|container| container.name.as_str()).collect::<Vec<_>>(), [expected]);
        assert_eq!(set.shown(&plan), text, "a value that tells nothing secret is shown");
    }

    #[test]
    fn a_container_that_is_not_there_is_named() {
        let errors = plan("app/sid.env.LEVEL=info").expect_err("no such container").to_string();
        assert!(errors.contains("the component `app` has no container `sid`") && errors.contains("`side`"), "{errors}");
    }

    #[rstest]
    #[case::in_place_of_a_secret("app.env.LOGIN=correct-horse")]
    #[case::by_its_name("app/side.env.DB_PASSWORD=correct-horse")]
    #[case::by_a_login_in_an_address("app.env.URL=postgres://shop:correct-horse@db/shop")]
    fn a_secret_value_is_shown_nowhere(#[case] text: &str) {
        let (set, plan) = plan(text).expect("a plan");
        let objects: Vec<Json> = plan.objects.iter().map(|object| plan.shown(object)).collect();
        for shown in [set.shown(&plan), format!("{set:?}"), format!("{plan:?}"), serde_json::to_string(&plan).unwrap()]
        {
            assert!(!shown.contains("correct-horse"), "{shown}");
        }
        let objects = serde_json::to_string(&objects).expect("JSON");
        assert!(!objects.contains("correct-horse") && objects.contains(HIDDEN), "{objects}");
        assert!(plan.secrets().iter().any(|secret| secret.text.contains("correct-horse")), "what logs must not show");
        assert!(format!("{:?}", plan.objects[0].json).contains("correct-horse"), "a cluster is given it");
    }
}
