//! The plan of the manifests that ship with the project.

use std::{collections::BTreeMap, path::Path, time::Duration};

use e2e_plan::{
    Identity, Input, Plan, ProbeAction, Value, Volume,
    manifests::{self, Sources},
    target::Target,
};

fn plan(sets: &[&str], replicas: &[(&str, u32)]) -> Plan {
    plan_of(&[], sets, replicas)
}

fn plan_of(overlays: &[&str], sets: &[&str], replicas: &[(&str, u32)]) -> Plan {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let overlays: Vec<_> = overlays.iter().map(|overlay| directory.join(overlay)).collect();
    let mut generate = |secret: &str, key: &str| format!("made-up-{secret}-{key}");
    let sources = Sources { paths: vec!["manifests".into()], ..Sources::default() };
    let input = Input {
        objects: manifests::read(&directory, &sources, &overlays),
        given: Vec::new(),
        sets: sets.iter().map(|set| set.parse().unwrap()).collect(),
        replicas: replicas.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<BTreeMap<_, _>>(),
        generate: &mut generate,
    };
    Plan::from_manifests(input).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn six_pods_in_the_order_of_their_needs() {
    let plan = plan(&[], &[]);
    let components: BTreeMap<_, _> =
        plan.components.iter().map(|component| (component.name.as_str(), component.replicas)).collect();
    let expected = [("backend", 2), ("engine", 1), ("nginx", 1), ("postgres", 1), ("redis", 1)];
    assert_eq!(components, BTreeMap::from(expected));

    let position = |name| plan.components.iter().position(|component| component.name == name);
    for (first, later) in [
        ("postgres", "backend"),
        ("redis", "backend"),
        ("postgres", "engine"),
        ("redis", "engine"),
        ("backend", "nginx"),
    ] {
        assert!(position(first) < position(later), "{first} starts before {later}");
    }
    assert_eq!(plan.component("backend").unwrap().depends_on, ["postgres", "redis"]);
    assert_eq!(plan.component("nginx").unwrap().depends_on, ["backend"]);
    assert_eq!(plan.component("postgres").unwrap().depends_on, Vec::<String>::new());
}

#[test]
fn every_component_has_probes_limits_and_a_service() {
    let plan = plan(&[], &[]);
    for component in &plan.components {
        let name = &component.name;
        let container = &component.pod.containers[0];
        let probes = &container.probes;
        assert!(probes.startup.is_some() && probes.readiness.is_some() && probes.liveness.is_some(), "{name}");
        assert!(container.resources.memory_limit_bytes.is_some(), "{name}");
        assert!(container.security.run_as_user.is_some_and(|user| user > 0), "{name}");
        assert!(container.security.read_only_root, "{name}");
        assert!(plan.services.iter().any(|service| service.components.contains(name)), "{name}");
    }
}

#[test]
fn the_backend_as_declared() {
    let plan = plan(&[], &[]);
    let backend = plan.component("backend").unwrap();
    assert_eq!(backend.pod.termination_grace, Duration::from_secs(15));
    let container = &backend.pod.containers[0];
    assert_eq!(container.resources.memory_limit_bytes, Some(256 << 20));
    let readiness = container.probes.readiness.as_ref().unwrap();
    let expected =
        ProbeAction::HttpGet { https: false, host: None, port: 8000, path: "/readyz".into(), headers: vec![] };
    assert_eq!((&readiness.action, readiness.timeout), (&expected, Duration::from_secs(1)));

    let identity = Identity { pod_name: "backend-1".into(), ..Identity::default() };
    let env: BTreeMap<_, _> = container.resolve(&identity).env.into_iter().collect();
    assert_eq!(env["BACKEND_REPLICA"], "backend-1");
    assert_eq!(env["BACKEND_POSTGRES"], "postgres:5432");
    assert_eq!(env["BACKEND_POSTGRES_PASSWORD"], "made-up-postgres-password");
}

#[test]
fn nginx_reads_its_configuration_from_a_file() {
    let plan = plan(&[], &[]);
    let nginx = plan.component("nginx").unwrap();
    let Volume::Files(files) = &nginx.pod.volumes["config"] else { panic!("config holds no files") };
    let text = files.iter().find(|file| file.path == Path::new("nginx.conf")).map(|file| &file.content);
    assert!(matches!(text, Some(Value::Plain(text)) if text.contains("server backend:8000")), "{text:?}");
    let service = plan.services.iter().find(|service| service.name == "nginx").unwrap();
    assert_eq!((service.ports[0].port, service.ports[0].target_port), (80, 8080));
}

#[test]
fn secrets_are_made_up_and_not_shown() {
    let plan = plan(&[], &[]);
    let secrets: Vec<_> = plan.secrets().iter().map(|secret| format!("{}/{}", secret.name, secret.key)).collect();
    assert_eq!(secrets, ["postgres/password", "backend/token-key"]);
    let shown = format!("{plan:?} {}", serde_json::to_string(&plan).unwrap());
    assert!(!shown.contains("made-up-"), "{shown}");
}

#[test]
fn overrides() {
    let plan = plan(&["backend.env.BACKEND_POOL_SIZE=1"], &[("backend", 3)]);
    let backend = plan.component("backend").unwrap();
    assert_eq!(backend.replicas, 3);
    let env: BTreeMap<_, _> = backend.pod.containers[0].resolve(&Identity::default()).env.into_iter().collect();
    assert_eq!(env["BACKEND_POOL_SIZE"], "1");
}

#[test]
fn each_pod_of_a_sharded_postgres_is_a_shard_of_its_own_name() {
    for shards in [2, 4] {
        let sharded = format!("fixtures/sharded/{shards}");
        let plan = plan_of(&["fixtures/overlays/slow-commits", &sharded], &[], &[]);
        let postgres = plan.component("postgres").unwrap();
        assert_eq!(postgres.replicas, shards);
        assert!(
            postgres.pod.containers[0].args.contains(&"commit_delay=50000".to_owned()),
            "a fault reaches every shard"
        );
        let mut warnings = Target::ALL.into_iter().flat_map(|target| plan.warnings(target));
        assert!(warnings.all(|warning| warning.path != "spec.serviceName"));
        let named = plan.services.iter().find(|service| service.names_pods_of(postgres)).expect("the pods have names");
        let pods = (0..shards).map(|shard| format!("postgres-{shard}.{}:5432", named.name));
        let expected = Value::Plain(pods.collect::<Vec<_>>().join(","));
        for (name, variable) in [("backend", "BACKEND_POSTGRES"), ("engine", "ENGINE_POSTGRES")] {
            let component = plan.component(name).unwrap();
            let found = component.pod.containers[0].env.iter().find(|found| found.name == variable);
            assert_eq!(found.map(|found| &found.value), Some(&expected));
            assert!(component.depends_on.contains(&"postgres".to_owned()), "{name} starts after it");
        }
    }
}

#[test]
fn each_pod_of_a_durable_postgres_has_a_claim() {
    let plan = plan_of(&["fixtures/sharded/2", "fixtures/durable"], &[], &[]);
    let data = &plan.component("postgres").unwrap().pod.volumes["data"];
    assert_eq!(*data, e2e_plan::Volume::Persistent { name: "data".to_owned(), per_pod: true });
}

#[test]
fn a_cluster_honours_everything_but_the_generated_secrets() {
    let warnings = plan(&[], &[]).warnings(Target::K8s);
    let objects: Vec<_> = warnings.iter().map(|warning| warning.object.as_str()).collect();
    assert_eq!(objects, ["Secret/backend", "Secret/postgres"]);
}
