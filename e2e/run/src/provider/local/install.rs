//! Provides missing programs: builds them with cargo, or installs them with apt if permitted. Main function: [`find_programs`].

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use e2e_report::env_vars;

use super::{FoundProgram, FoundPrograms, Program, ProgramError, Programs};
use crate::{
    lines::last_words,
    provider::{Error, pods::PodSpec},
};

/// Finds the programs that replace the pods' images; builds or installs missing ones.
pub(crate) async fn find_programs(
    own: &Programs,
    pods: &[PodSpec],
    root: &Path,
    progress: &(dyn Fn(String) + Sync),
) -> Result<FoundPrograms, Error> {
    let programs = own.over(Programs::builtin());
    let images: BTreeSet<&str> =
        pods.iter().flat_map(|pod| pod.all_containers().map(|container| container.image.as_str())).collect();
    let (mut known, mut unknown) = (BTreeMap::new(), Vec::new());
    for image in images {
        match programs.for_image(image) {
            Some(program) => drop(known.insert(image, program)),
            None => unknown.push(image.to_owned()),
        }
    }
    if !unknown.is_empty() {
        return Err(ProgramError::Unknown { images: unknown }.into());
    }
    for container in pods.iter().flat_map(PodSpec::all_containers) {
        if known.get(container.image.as_str()).is_some_and(|program| !program.runs(&container.command)) {
            let (image, container) = (container.image.clone(), container.name.clone());
            return Err(ProgramError::NoProgram { image, container }.into());
        }
    }
    let packages: Vec<String> = known.values().filter_map(|program| program.cargo.clone()).collect();
    let binaries = crate::image::cargo_binaries(root, &packages, &|line| progress(line.to_owned())).await?;
    let mut found = BTreeMap::new();
    for (image, program) in known {
        let binary = program.cargo.as_ref().and_then(|package| binaries.get(package).cloned());
        let directories = if program.cargo.is_some() { Vec::new() } else { find(program, image, progress).await? };
        let working_directory = program.working_directory(root, image)?;
        let program = program.clone();
        found.insert(image.to_owned(), FoundProgram { program, directories, binary, working_directory });
    }
    Ok(found)
}

/// The directories of a program's binaries, installed first when they are missing.
async fn find(program: &Program, image: &str, progress: &(dyn Fn(String) + Sync)) -> Result<Vec<PathBuf>, Error> {
    match program.find(image) {
        Ok(directories) => Ok(directories),
        Err(missing) if may_install(program) => {
            progress(format!("installing {} ({missing})", program.apt.join(" ")));
            apt_install(program, image).await?;
            Ok(program.find(image)?)
        }
        Err(missing) => Err(missing.into()),
    }
}

fn may_install(program: &Program) -> bool {
    let refused = std::env::var_os(env_vars::E2E_NO_INSTALL).is_some_and(|value| !value.is_empty() && value != "0");
    !program.apt.is_empty()
        && !refused
        && rustix::process::geteuid().is_root()
        && Path::new("/usr/bin/apt-get").exists()
}

/// A package manager that is cut off leaves a broken machine. So it has a process group of its own, which Ctrl-C does not reach,
/// and it is blocking work, whose end the runtime waits for when a signal ends everything else.
async fn apt_install(program: &Program, image: &str) -> Result<(), ProgramError> {
    let packages = program.apt.clone();
    let installed = tokio::task::spawn_blocking(move || install(&packages)).await;
    installed.unwrap_or_else(|error| Err(error.to_string())).map_err(|reason| ProgramError::Install {
        image: image.to_owned(),
        packages: program.apt.join(" "),
        reason,
    })
}

/// Installs without recommendations, and without starting the services that the packages bring.
fn install(packages: &[String]) -> Result<(), String> {
    // The package lists of a fresh machine are empty or old; apt says itself when it cannot get new ones.
    apt_get(&["update", "-qq"])?;
    // invoke-rc.d asks this file whether it may start a service; 101 is no (Debian policy 9.3.3.1).
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let ours = !policy.exists();
    if ours {
        let write = std::fs::write(policy, "#!/bin/sh\nexit 101\n").and_then(|()| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))
        });
        write.map_err(|error| format!("cannot write {}: {error}", policy.display()))?;
    }
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    let installed = apt_get(&arguments);
    if ours {
        let _ = std::fs::remove_file(policy);
    }
    installed
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").process_group(0);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(last_words(&output)) }
}
