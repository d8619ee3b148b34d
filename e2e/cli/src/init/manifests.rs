//! Where a project's manifests are. Main function: [`find`].

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use e2e_plan::manifests::{Head, heads, is_chart, kustomization_of};
use e2e_plan::shell::quoted;
use e2e_report::command;
use e2e_run::{Error, config::MANIFESTS};

use super::{
    bases::{self, Top, Workloads},
    files::{has_workloads, read_of, workloads},
};
use crate::failure::BadInput;

/// Deeper than this lie the fixtures of tests.
const MAX_DEPTH: usize = 4;
/// More than these help nobody to choose.
const MAX_SHOWN: usize = 8;
/// Directories of which each one stands for all the system, in one place or another.
const ALTERNATIVES: [&str; 3] = ["environments", "envs", "overlays"];

/// Where manifests are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Directories and files.
    pub(super) paths: Vec<String>,
    /// What is wrong with the other files of those directories, each with its path.
    pub(super) refused: Vec<String>,
    /// Kustomizations that build on the directory.
    pub(super) overlays: Vec<String>,
    /// Kustomizations that could stand in its place: each adds workloads to the base of all.
    pub(super) siblings: Vec<String>,
    /// Other directories with workloads, which are no part of it.
    pub(super) elsewhere: Vec<String>,
}

impl Found {
    /// The paths with their plan, without the files that have no part in one: those of another program, and those with faults.
    pub(super) fn planned<T>(
        mut self,
        root: &Path,
        plan: impl Fn(&[String]) -> Result<T, Error>,
    ) -> Result<(Self, T), Error> {
        loop {
            let errors = match plan(&self.paths) {
                Err(Error::Plan(errors)) => errors,
                planned => return planned.map(|planned| (self, planned)),
            };
            let fault = |path: &String| errors.iter().find(|error| error.location.file == Path::new(path));
            let files: Vec<String> = self.paths.iter().flat_map(|path| files(root, path)).collect();
            let (refused, kept): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| fault(path).is_some());
            let may_run = |path: &String| root.join(path).is_dir() || has_workloads(&root.join(path));
            if refused.is_empty() || !kept.iter().any(may_run) {
                return Err(errors.into());
            }
            // What does not even look like a manifest, such as a package.json, is nobody's loss.
            let may_be_one = |path: &&String| {
                let bytes = std::fs::read(root.join(path)).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                text.contains("apiVersion") || text.contains("kind")
            };
            self.refused.extend(refused.iter().filter(may_be_one).filter_map(fault).map(ToString::to_string));
            self.paths = kept;
        }
    }

    /// What is left out of the paths, in sentences.
    pub(super) fn left_out(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|fault| format!("Left out {fault}."));
        let elsewhere = match &self.elsewhere[..] {
            [] => None,
            elsewhere => {
                let named = elsewhere.iter().map(|path| if path == "." { "the root" } else { path.as_str() });
                Some(format!("Does not include the manifests in {}.", named.collect::<Vec<_>>().join(", ")))
            }
        };
        refused.chain(elsewhere).collect()
    }
}

/// The first of the usual directories, or else the only one that has workloads, apart from what a kustomization builds on: the only one
/// below the usual ones, or of all. Several of the usual ones are parts of one system if they have nothing in common.
pub(super) fn find(root: &Path) -> Result<Found, BadInput> {
    let directories = directories(root);
    let tops = choose(root, &directories)?;
    let all = |of: fn(&Top) -> Vec<PathBuf>| tops.iter().flat_map(of).collect::<Vec<PathBuf>>();
    let (mut paths, overlays, siblings) =
        (all(|top| vec![top.directory.clone()]), all(|top| top.overlays.clone()), all(|top| top.siblings.clone()));
    paths.extend(beside(root, &paths));
    let part_of = |top: &PathBuf| bases::reached(root, &directories, top).into_iter().chain([top]).cloned().collect();
    let parts = [&overlays[..], &siblings, &paths].concat();
    let parts: BTreeSet<PathBuf> = parts.iter().flat_map(|top| -> Vec<_> { part_of(top) }).collect();
    let elsewhere: Vec<PathBuf> = directories.iter().filter(|directory| !parts.contains(*directory)).cloned().collect();
    Ok(Found {
        paths: shown(&paths),
        overlays: shown(&overlays),
        siblings: shown(&siblings),
        elsewhere: shown(&elsewhere),
        ..Found::default()
    })
}

/// The directories that have workloads, those nearest to the root first. A chart's own files are no manifests.
fn directories(root: &Path) -> Vec<PathBuf> {
    let is_of_chart = |path: &Path| path.ancestors().skip(1).any(|above| is_chart(&root.join(above)));
    let mut found = super::directories(root, MAX_DEPTH);
    found.retain(|directory| !is_of_chart(directory) && holds(&root.join(directory)));
    found.sort_by_key(|directory| (directory.components().count(), directory.clone()));
    found
}

fn choose(root: &Path, directories: &[PathBuf]) -> Result<Vec<Top>, BadInput> {
    let is_usual = |name: &&str| directories.iter().any(|directory| directory == Path::new(name));
    if let Some(usual) = MANIFESTS.into_iter().find(is_usual) {
        return Ok(vec![Top { directory: usual.into(), ..Top::default() }]);
    }
    let mut tops = bases::tops(root, directories);
    if tops.iter().any(|top| !bases::is_broken(&root.join(&top.directory))) {
        tops.retain(|top| !bases::is_broken(&root.join(&top.directory)));
    }
    let of_usual = |name: &str| tops.iter().filter(|top| top.directory.starts_with(name)).cloned().collect::<Vec<_>>();
    let usual: Vec<Vec<Top>> = MANIFESTS.into_iter().map(of_usual).filter(|tops| !tops.is_empty()).collect();
    match (&usual[..], &tops[..]) {
        ([parts], _) if parts.len() == 1 || are_one_system(root, parts) => Ok(parts.clone()),
        (_, [_]) => Ok(tops),
        (_, []) => Err(nothing(root)),
        (_, tops) => Err(several(root, tops)),
    }
}

/// Directories beside the parts of a usual one, and this itself, whose objects are none of a workload: Services, claims, routes.
fn beside(root: &Path, parts: &[PathBuf]) -> Vec<PathBuf> {
    let is_parent = |name: &&str| parts.iter().all(|part| part.starts_with(name) && part != Path::new(name));
    let is_plain = parts.iter().all(|part| !read_of(&root.join(part)).is_empty());
    let Some(usual) = MANIFESTS.into_iter().find(is_parent).filter(|_| is_plain) else { return Vec::new() };
    let is_object = |head: &Head| head.is_own() && !head.api_version.is_empty();
    let has_objects_alone = |directory: &PathBuf| {
        let heads: Vec<Head> = read_of(&root.join(directory)).iter().flat_map(|file| heads(file)).collect();
        heads.iter().any(is_object) && !heads.iter().any(Head::is_workload)
    };
    let is_part = |directory: &PathBuf| {
        // What lies below a kustomization or a chart is theirs.
        let above = || directory.ancestors().skip(1).take_while(|above| above.starts_with(usual));
        directory.starts_with(usual)
            && alternatives(directory).is_none()
            && !above().any(|above| kustomization_of(&root.join(above)).is_some() || is_chart(&root.join(above)))
            && has_objects_alone(directory)
    };
    super::directories(root, MAX_DEPTH).into_iter().filter(is_part).collect()
}

/// Whether directories can be parts of one system: none stands for another one, and no name is in two of them.
fn are_one_system(root: &Path, tops: &[Top]) -> bool {
    let mut names = BTreeSet::new();
    tops.iter().all(|Top { directory, siblings, .. }| {
        let (heads, is_whole) = workloads_of(&root.join(directory));
        let own: BTreeSet<String> = heads.into_iter().map(|head| head.name).collect();
        let is_new = own.is_disjoint(&names);
        names.extend(own);
        is_whole && is_new && siblings.is_empty() && alternatives(directory).is_none()
    })
}

/// The workloads of a directory, and whether they are all that it has.
fn workloads_of(directory: &Path) -> (Vec<Head>, bool) {
    let (files, is_whole) = match kustomization_of(directory) {
        Some(_) => {
            let Workloads { files, is_whole } = Workloads::of(directory);
            (files.into_iter().collect(), is_whole)
        }
        None => (read_of(directory), !is_chart(directory)),
    };
    (files.iter().flat_map(|file| workloads(file)).collect(), is_whole)
}

/// Whether one of two directories, each with its workloads, may stand in the place of the other: by its name, or since both declare one.
fn are_alternatives((one, own): &(&Top, Vec<Head>), (other, others): &(&Top, Vec<Head>)) -> bool {
    let group = alternatives(&one.directory);
    let is_shared = |head: &Head| others.iter().any(|other| head.is_same(other));
    group.is_some() && group == alternatives(&other.directory) || own.iter().any(is_shared)
}

/// The directory whose directories each stand for all the system, if this is one of them.
fn alternatives(directory: &Path) -> Option<&Path> {
    let parent = directory.parent()?;
    parent.file_name().is_some_and(|name| ALTERNATIVES.iter().any(|known| name == *known)).then_some(parent)
}

/// Why there is no manifest: what is there in its place.
fn nothing(root: &Path) -> BadInput {
    let mut foreign: Vec<(String, PathBuf)> = Vec::new();
    for directory in super::directories(root, MAX_DEPTH) {
        for file in read_of(&root.join(&directory)) {
            let heads = heads(&file).into_iter().filter(Head::is_foreign).filter(|head| !head.api_version.is_empty());
            let path = directory.join(file.file_name().unwrap_or_default());
            foreign.extend(heads.map(|head| (head.kind, path.clone())));
        }
    }
    foreign.sort();
    foreign.dedup_by(|later, first| later.0 == first.0);
    let kinds: Vec<String> =
        foreign.iter().take(MAX_SHOWN).map(|(kind, path)| format!("{kind} in {}", path.display())).collect();
    let instead = match &kinds[..] {
        [] => String::new(),
        kinds => format!(", only what Kubernetes itself does not have: {}", kinds.join(", ")),
    };
    BadInput(format!(
        "no manifests of a workload, such as a Deployment, are found{instead}; name their file or directory with --manifests, or a \
         command that prints them with --render"
    ))
}

fn several(root: &Path, tops: &[Top]) -> BadInput {
    let mut groups: Vec<Vec<(&Top, Vec<Head>)>> = Vec::new();
    for top in tops.iter().map(|top| (top, workloads_of(&root.join(&top.directory)).0)) {
        match groups.iter_mut().find(|group| are_alternatives(&top, &group[0])) {
            Some(group) => group.push(top),
            None => groups.push(vec![top]),
        }
    }
    let names = |group: &Vec<(&Top, _)>| group.iter().map(|(top, _)| super::shown(&top.directory)).collect::<Vec<_>>();
    let groups: Vec<Vec<String>> = groups.iter().map(names).collect();
    let flags: Vec<String> = groups.iter().map(|group| format!("--manifests {}", quoted(&group[0]))).collect();
    let mut notes: Vec<String> = Vec::new();
    for group in groups.iter().filter(|group| group.len() > 1) {
        notes.push(format!("name only one of {}", group.join(", ")));
    }
    for Top { directory, overlays, .. } in tops.iter().filter(|top| !top.overlays.is_empty()) {
        notes.push(format!("{} is the base of {}", super::shown(directory), shown(overlays).join(", ")));
    }
    let notes: String = notes.iter().map(|note| format!("\n  {note}")).collect();
    let command = command::line(&format!("init {}", flags.join(" ")));
    BadInput(format!("several directories have manifests; name those that make up the system: `{command}`{notes}"))
}

/// Whether a directory is a chart or a kustomization that builds workloads, or has a file with one.
fn holds(directory: &Path) -> bool {
    match kustomization_of(directory) {
        Some(_) => bases::builds_workloads(directory),
        None => is_chart(directory) || read_of(directory).iter().any(|file| has_workloads(file)),
    }
}

fn shown(directories: &[PathBuf]) -> Vec<String> {
    directories.iter().map(|directory| super::shown(directory)).collect()
}

/// The files that a path stands for; itself where it names them.
fn files(root: &Path, path: &str) -> Vec<String> {
    let files = read_of(&root.join(path));
    if files.is_empty() {
        return vec![path.to_owned()];
    }
    let place = if path == "." { Path::new("") } else { Path::new(path) };
    files.iter().map(|file| super::shown(&place.join(file.file_name().unwrap_or_default()))).collect()
}

#[cfg(test)]
mod tests {
    use e2e_run::{Options, planned};

    use super::{
        super::tests::{project, write},
        *,
    };

    const NOTHING: &str = "no manifests of a workload, such as a Deployment, are found";

    fn found(root: &Path) -> Result<Found, String> {
        find(root).map_err(|error| error.to_string())
    }

    /// A Deployment of that name.
    fn deployment(name: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
             template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: c, image: nginx}}]}}\n"
        )
    }

    #[test]
    fn the_usual_directory_the_only_one_or_a_choice() {
        let project = project(&[]);
        let add = |name: &str, text: &str| write(project.path(), name, text);
        let paths = || found(project.path()).map(|found| found.paths.join(", "));
        add("compose.yaml", "services: {}\n");
        add("node_modules/a/k8s/app.yaml", "kind: Deployment\n");
        add(".github/app.yaml", "kind: Deployment\n");
        add("deploy/README.md", "");
        let nothing = format!(
            "{NOTHING}; name their file or directory with --manifests, or a command that prints them with --render"
        );
        assert_eq!(paths(), Err(nothing));
        add("deploy/kubernetes/app.yaml", "apiVersion: apps/v1\r\nkind: Deployment\r\n");
        assert_eq!(paths(), Ok("deploy/kubernetes".to_owned()));
        add(
            "deploy/other/scale.yaml",
            "kind: HorizontalPodAutoscaler\nspec:\n  scaleTargetRef:\n    kind: Deployment\n",
        );
        add("deploy/other/package.json", "{\"kind\": \"library\", \"of\": {\"kind\": \"Job\"}}");
        assert_eq!(paths(), Ok("deploy/kubernetes".to_owned()));
        add("my chart/Chart.yaml", "");
        add("my chart/templates/app.yaml", "kind: Deployment\n");
        assert_eq!(paths(), Ok("deploy/kubernetes".to_owned()), "the only one below a usual directory");
        std::fs::rename(project.path().join("deploy"), project.path().join("services")).expect("a directory");
        let command = command::line("init --manifests 'my chart' --manifests services/kubernetes");
        let choice = format!("several directories have manifests; name those that make up the system: `{command}`");
        assert_eq!(paths(), Err(choice.clone()));
        add("k8s/kustomization.yaml", "resources: [app.yaml]\n");
        assert_eq!(paths(), Err(choice));
        add("k8s/app.yaml", "kind: Deployment\n");
        assert_eq!(paths(), Ok("k8s".to_owned()));
        let elsewhere = found(project.path()).map(|found| found.elsewhere);
        assert_eq!(elsewhere, Ok(vec!["my chart".to_owned(), "services/kubernetes".to_owned()]));
    }

    #[rstest::rstest]
    #[case::parts(&["k8s/api", "k8s/db", "tools/load"], Ok(&["k8s/api", "k8s/db"][..]))]
    #[case::beside_their_services(
        &["k8s/api", "k8s/db", "k8s/net-of-all", "k8s/envs/net", "tools/net"],
        Ok(&["k8s/api", "k8s/db", "k8s/net-of-all"][..])
    )]
    #[case::of_a_hidden_directory(&[".k8s"], Ok(&[".k8s"][..]))]
    #[case::steps_of_one(
        &["k8s/one/web", "k8s/two/db", "k8s/two/web"],
        Err("--manifests k8s/one/web --manifests k8s/two/db`\n  name only one of k8s/one/web, k8s/two/web")
    )]
    #[case::versions(&["one/web", "two/web"], Err("--manifests one/web`\n  name only one of one/web, two/web"))]
    #[case::parts_of_two_places(&["k8s/api", "deploy/db"], Err("`"))]
    #[case::overlays(
        &["k8s/overlays/dev", "k8s/overlays/prod"],
        Err("--manifests k8s/overlays/dev`\n  name only one of k8s/overlays/dev, k8s/overlays/prod")
    )]
    fn directories_with_a_workload_each(#[case] directories: &[&str], #[case] expected: Result<&[&str], &str>) {
        let project = project(&[]);
        for directory in directories {
            let name = directory.rsplit('/').next().unwrap_or_default();
            let text = match name.starts_with("net") {
                true => "apiVersion: v1\nkind: Service\nmetadata: {name: net}\n".to_owned(),
                false => deployment(name),
            };
            write(project.path(), &format!("{directory}/app.yaml"), &text);
        }
        match (found(project.path()), expected) {
            (Ok(found), Ok(paths)) => assert_eq!(found.paths, paths),
            (Err(error), Err(end)) => assert!(error.ends_with(end), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[rstest::rstest]
    #[case::job("job.yaml", "apiVersion: batch/v1\nkind: Job\nmetadata:\n")]
    #[case::in_quotes("web.yml", "apiVersion: apps/v1\n\"kind\": \"ReplicaSet\"\t# two of them\nmetadata: {}\n")]
    #[case::behind_a_byte_order_mark("web.yaml", "\u{feff}kind: Deployment\napiVersion: apps/v1\n")]
    #[case::between_braces("web.yaml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}")]
    #[case::in_a_list("all.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n")]
    #[case::in_a_list_of_its_kind("all.yaml", "kind: PodList\nitems:\n- apiVersion: v1\n  kind: Pod\n")]
    #[case::in_a_list_that_says_its_kind(
        "all.yaml",
        "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata: {name: a}\n"
    )]
    #[case::json(
        "web.json",
        "{\n  \"kind\" : \"ReplicationController\", \"apiVersion\": \"v1\", \"metadata\": {}\n}\n"
    )]
    #[case::json_in_yaml("web.yaml", "{\n  \"kind\": \"Pod\", \"apiVersion\": \"v1\"\n}\n")]
    #[case::behind_dashes(
        "web.json",
        "{\"kind\": \"Service\"}\n---\n{\"apiVersion\": \"v1\", \"metadata\": {}, \"kind\": \"Pod\"}\n"
    )]
    #[case::in_a_list_of_json(
        "all.json",
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"kind\": \"CronJob\"}]}"
    )]
    #[case::a_template("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ .Values.name }}\n")]
    fn each_way_to_write_a_workload(#[case] file: &str, #[case] text: &str) {
        let project = project(&[(&format!("shop/{file}"), text), ("shop/README.md", "")]);
        assert_eq!(found(project.path()), Ok(Found { paths: vec!["shop".to_owned()], ..Found::default() }));
    }

    #[test]
    fn a_workload_in_utf_16() {
        let bytes: Vec<u8> = "\u{feff}kind: Pod\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let project = project(&[("k8s/README.md", "")]);
        std::fs::write(project.path().join("k8s/web.yaml"), bytes).expect("a file");
        assert_eq!(found(project.path()).map(|found| found.paths), Ok(vec!["k8s".to_owned()]));
    }

    #[test]
    fn kinds_that_are_not_of_kubernetes() {
        let project = project(&[
            ("k8s/a.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n"),
            ("k8s/b.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n---\napiVersion: v1\nkind: Template\n"),
            ("k8s/c.yaml", "apiVersion: v1\nkind: Service\n---\napiVersion: serving.knative.dev/v1\nkind: Service\n"),
        ]);
        let error = found(project.path()).expect_err("nothing to run");
        let kinds = "only what Kubernetes itself does not have: Rollout in k8s/a.yaml, Service in k8s/c.yaml, Template in k8s/b.yaml;";
        assert!(error.starts_with(&format!("{NOTHING}, {kinds}")), "{error}");
    }

    #[test]
    fn files_that_cannot_be_planned_are_left_out() {
        let web = deployment("web");
        let project = project(&[("k8s/web.yaml", &web), ("k8s/later.yaml", "---\n# nothing yet\n")]);
        let add = |name: &str, text: &str| write(project.path(), &format!("k8s/{name}"), text);
        let planned = || {
            let plan = |paths: &[String]| planned(&Options::new(project.path()), super::super::of_paths(paths).1);
            let found = found(project.path()).expect("a directory").planned(project.path(), plan);
            found.map(|(found, _)| found).map_err(|error| error.to_string())
        };
        assert_eq!(planned().map(|found| found.paths), Ok(vec!["k8s".to_owned()]));
        add("docker-compose.yml", "services: {web: {image: web}}\n");
        add("no-selector.yaml", &deployment("other").replace("selector: {matchLabels: {app: other}}", ""));
        let Found { paths, refused, .. } = planned().expect("a plan");
        assert_eq!(paths, ["k8s/later.yaml", "k8s/web.yaml"]);
        let [fault] = &refused[..] else { panic!("{refused:?}") };
        assert!(fault.starts_with("k8s/no-selector.yaml:4:1, document 1: Deployment/other: "), "{fault}");
        add("web.yaml", &web.replace("image: nginx", "imag: nginx"));
        let error = planned().expect_err("no workload is left");
        assert!(error.contains("web.yaml:8") && error.contains("no-selector.yaml"), "{error}");
    }
}
