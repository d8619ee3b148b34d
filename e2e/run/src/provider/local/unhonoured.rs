//! What plain processes do not honour and only the local programs tell, said before a run. Pure. Main function: [`unhonoured`].

use std::path::Path;

use e2e_plan::{Component, Container, Plan, Service, Value, Warning, pod_keys, references::mentions};

use super::{Program, Programs, hosts::has_address};

/// What the processes will find on this machine.
pub(crate) struct ThisMachine<'a> {
    /// The directory of the runs, in which volumes are.
    pub(crate) runs: &'a Path,
    /// Whether the user of the processes has an entry in the system's list of users.
    pub(crate) user_is_known: bool,
    /// The lowest port of any loopback address that the user may listen at.
    pub(crate) lowest_port: u16,
}

/// The fields that do not come to what they would in a container, in the order of the plan.
pub(crate) fn unhonoured(plan: &Plan, own: &Programs, machine: &ThisMachine<'_>) -> Vec<Warning> {
    let programs = own.over(Programs::builtin());
    let mut warnings = Vec::new();
    for component in plan.components.iter().chain(plan.cron_jobs.iter().map(|cron_job| &cron_job.job)) {
        let pod = &component.pod;
        for (field, containers) in [("initContainers", &pod.init_containers), ("containers", &pod.containers)] {
            for container in containers {
                let keys = pod_keys(&component.kind).join(".");
                let at = ContainerPath { component, path: format!("{keys}.{field}[{}]", container.name) };
                let program = programs.for_image(&container.image).filter(|program| program.runs(&container.command));
                let Some(program) = program else {
                    warnings.extend(no_program(&at, container));
                    continue;
                };
                warnings.extend(hosts(&at, container, &plan.services, machine.lowest_port));
                warnings.extend(program.differs.as_ref().map(|differs| at.warn("image", differs.clone())));
                warnings.extend(command(&at, container, program));
                warnings.extend(port(&at, container, program));
                warnings.extend(blanks(&at, container, machine.runs));
                warnings.extend(user(&at, container, program, machine));
            }
        }
    }
    warnings
}

struct ContainerPath<'a> {
    component: &'a Component,
    path: String,
}

impl ContainerPath<'_> {
    fn warn(&self, field: &str, reason: String) -> Warning {
        let Component { kind, name, source, .. } = self.component;
        Warning {
            source: source.clone(),
            object: format!("{kind}/{name}"),
            path: format!("{}.{field}", self.path),
            reason,
        }
    }
}

/// An image that nothing stands for. The Job of a CronJob needs a program only where it is asked for.
fn no_program(at: &ContainerPath<'_>, container: &Container) -> Option<Warning> {
    let Container { image, .. } = container;
    let reason = format!(
        "no local program replaces {image}, and a run is refused without one: declare it in .config/e2e.toml under \
         [local.\"{image}\"], or use --target docker"
    );
    (at.component.kind != "CronJob").then(|| at.warn("image", reason))
}

/// Variables that name a host without a port, where it gets no address of its own: one pod of a Service, or a Service with a port that
/// only root may listen at.
fn hosts(at: &ContainerPath<'_>, container: &Container, services: &[Service], lowest_port: u16) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for variable in &container.env {
        let Value::Plain(text) = &variable.value else { continue };
        for mention in mentions(Some(&variable.name), text, (&at.component.namespace, services)) {
            let Some(port) = mention.service.ports.first().map(|port| port.port) else { continue };
            if !mention.is_alone(text) || has_address(&mention, text, lowest_port) {
                continue;
            }
            let (host, upper) = (&text[mention.host.clone()], mention.service.host().to_uppercase().replace('-', "_"));
            let why = if mention.is_pod(text) {
                "plain processes reach one pod only together with its port".to_owned()
            } else {
                format!("this user may not listen at ports below {lowest_port}")
            };
            let reason = format!(
                "`{host}` has no port here, and {why}: write `{host}:{port}`, or give host and port as \
                 `$({upper}_SERVICE_HOST)` and `$({upper}_SERVICE_PORT)`"
            );
            warnings.push(at.warn(&format!("env[{}]", variable.name), reason));
        }
    }
    warnings
}

/// A command that the program replaces.
fn command(at: &ContainerPath<'_>, container: &Container, program: &Program) -> Option<Warning> {
    // A binary of the workspace or a script stands for both, which whoever writes it says.
    let is_replaced = program.cargo.is_none() && program.script.is_none() && !container.command.is_empty();
    let reason = || at.warn("command", "the program in [local] replaces the command; the args follow it".to_owned());
    (is_replaced && !program.leaves(&container.command, &container.args)).then(reason)
}

/// A program that nothing tells where to listen: each pod has another port here.
fn port(at: &ContainerPath<'_>, container: &Container, program: &Program) -> Option<Warning> {
    let number = container.ports.first()?.number;
    let is_told = program.script.is_some() || !program.rewrite.is_empty() || program.ports().next().is_some();
    (!is_told).then(|| {
        let reason = format!(
            "`run` or `env` of [local.\"{}\"] must say where to listen: probes and Services reach each pod at its own port of 127.0.0.1, \
             which is `{{port:{number}}}` there",
            container.image
        );
        at.warn("ports", reason)
    })
}

/// A shell takes a path with a blank apart.
fn blanks(at: &ContainerPath<'_>, container: &Container, runs: &Path) -> Option<Warning> {
    let is_shell = container.command.iter().chain(&container.args).any(|part| part == "-c");
    let shown = runs.display().to_string();
    let mount = container.mounts.iter().find(|mount| {
        let names = |text: &String| text.contains(&mount.path);
        container.command.iter().chain(&container.args).any(names)
    })?;
    (is_shell && shown.contains(char::is_whitespace)).then(|| {
        let reason = format!(
            "`{}` becomes a directory below {shown}, and a shell splits a path at a space: choose another directory with --runs",
            mount.path
        );
        at.warn("command", reason)
    })
}

/// PostgreSQL looks the name of its user up and ends without one.
fn user(
    at: &ContainerPath<'_>,
    container: &Container,
    program: &Program,
    machine: &ThisMachine<'_>,
) -> Option<Warning> {
    let is_server = !program.leaves(&container.command, &container.args);
    let needs_name = is_server && program.script.as_deref() == Some("builtin:postgres");
    (needs_name && !machine.user_is_known).then(|| {
        let reason = format!(
            "the user that runs {} here has no entry in /etc/passwd, and PostgreSQL does not start without: add one, or run as \
             another user",
            container.name
        );
        at.warn("image", reason)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::provider::testing::{deployment, plan, service};

    /// Field and reason of every warning.
    fn said(image: &str, command: &str, host: &str, runs: &str, user_is_known: bool) -> Vec<(String, String)> {
        let spec = format!(
            "{{ containers: [{{ name: db, image: '{image}', command: {command}, env: [{{ name: DB_HOST, value: '{host}' }}], \
             volumeMounts: [{{ name: data, mountPath: /data }}] }}], volumes: [{{ name: data, emptyDir: {{}} }}] }}"
        );
        let plan =
            plan(&[deployment("db", &spec), service("my-db", "db", 5432), service("web", "db", 80)].join("---\n"));
        let own: Programs =
            toml::from_str("[app]\nrun = ['app']\ncommands = ['migrate']\n[bare]\n[scripted]\nscript = 'run.sh'\n")
                .expect("programs");
        let machine = ThisMachine { runs: Path::new(runs), user_is_known, lowest_port: 1024 };
        let field = |warning: Warning| (warning.path.replace("spec.template.spec.containers[db].", ""), warning.reason);
        unhonoured(&plan, &own, &machine).into_iter().map(field).collect()
    }

    #[rstest]
    #[case::alone("my-db", None)]
    #[case::in_an_address("postgres://my-db/shop", None)]
    #[case::with_a_port("my-db:5432", None)]
    #[case::a_port_of_root("web", Some("`web:80`"))]
    #[case::a_port_of_root_in_a_list("web,my-db", Some("$(WEB_SERVICE_HOST)"))]
    #[case::one_pod("db-0.my-db", Some("`db-0.my-db:5432`"))]
    #[case::the_port_of_the_web("http://web/", None)]
    #[case::somebody_else("db.example.org", None)]
    fn a_host_needs_its_port(#[case] host: &str, #[case] expected: Option<&str>) {
        let said = said("scripted:1", "[serve]", host, "/runs", true);
        assert_eq!(said.len(), usize::from(expected.is_some()), "{said:?}");
        let named =
            said.iter().all(|(field, reason)| field == "env[DB_HOST]" && reason.contains(expected.unwrap_or("")));
        assert!(named, "{said:?}");
    }

    #[rstest]
    #[case::another_program("postgres:15", "[bash, -c, x]", None)]
    #[case::a_tool("curlimages/curl:8", "[/bin/ash, -c, x]", None)]
    #[case::the_server("postgres:15", "[postgres, -c, fsync=off]", None)]
    #[case::mariadb_by_the_name_of_mysql("mariadb:11", "[mysqld, --max-connections=9]", None)]
    #[case::redis_by_its_name("redis:7", "[redis-server]", None)]
    #[case::no_command("nginx:1", "[]", None)]
    #[case::a_program_of_ones_own("app:1", "[serve]", Some("replaces the command"))]
    #[case::a_command_that_is_left("app:1", "[migrate, up]", None)]
    #[case::no_program_but_a_command("bare:1", "[serve]", None)]
    #[case::no_program_and_no_command("bare:1", "[]", Some("no local program replaces bare:1"))]
    #[case::a_script_of_ones_own("scripted:1", "[serve]", None)]
    fn a_command_that_is_not_run_is_told(#[case] image: &str, #[case] command: &str, #[case] expected: Option<&str>) {
        let said = said(image, command, "", "/runs", true);
        let reasons: Vec<&str> = said.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(reasons.len(), usize::from(expected.is_some()), "{said:?}");
        assert!(reasons.iter().all(|reason| reason.contains(expected.unwrap_or(""))), "{said:?}");
    }

    #[rstest]
    #[case::a_shell("[sh, -c, 'ls /data/a']", "/my runs", 1)]
    #[case::a_shell_without_blanks("[sh, -c, 'ls /data/a']", "/runs", 0)]
    #[case::no_shell("[ls, /data/a]", "/my runs", 0)]
    #[case::another_path("[sh, -c, 'ls /tmp']", "/my runs", 0)]
    fn a_shell_takes_blanks_apart(#[case] command: &str, #[case] runs: &str, #[case] expected: usize) {
        assert_eq!(said("scripted:1", command, "", runs, true).len(), expected);
    }

    #[test]
    fn an_image_without_a_program_is_told() {
        let [(field, reason)] = &said("mongo:7", "[]", "my-db", "/runs", true)[..] else { panic!("one warning") };
        assert_eq!(field, "image");
        assert!(
            reason.contains("no local program replaces mongo:7") && reason.contains("[local.\"mongo:7\"]"),
            "{reason}"
        );
    }

    #[test]
    fn a_program_that_differs_is_told() {
        assert_eq!(said("mariadb:11", "[]", "", "/runs", true), []);
        let [(field, reason)] = &said("mysql:8", "[]", "", "/runs", true)[..] else { panic!("one warning") };
        assert!(field == "image" && reason.contains("MariaDB"), "{reason}");
    }

    #[rstest]
    #[case::told("['serve', '{port:8000}']", 0)]
    #[case::not_told("['serve', '8000']", 1)]
    fn a_program_must_know_its_port(#[case] run: &str, #[case] expected: usize) {
        let plan =
            plan(&deployment("web", "{ containers: [{ name: web, image: web, ports: [{ containerPort: 8000 }] }] }"));
        let own: Programs = toml::from_str(&format!("[web]\nrun = {run}\n")).expect("programs");
        let machine = ThisMachine { runs: Path::new("/runs"), user_is_known: true, lowest_port: 1024 };
        let warnings = unhonoured(&plan, &own, &machine);
        assert_eq!(warnings.len(), expected, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.reason.contains("which is `{port:8000}` there")), "{warnings:?}");
    }

    #[test]
    fn postgres_needs_a_user_with_a_name() {
        assert_eq!(said("redis:7", "[]", "", "/runs", false), []);
        let [(_, reason)] = &said("postgres:15", "[]", "", "/runs", false)[..] else { panic!("one warning") };
        assert!(reason.contains("/etc/passwd"), "{reason}");
    }
}
