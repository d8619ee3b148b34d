//! A pod on this machine: its addresses, its directory, the programs in place of its images. Main type: [`Pod`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use e2e_plan::Container;

use super::{
    super::{Error, pods::PodSpec},
    FoundProgram, FoundPrograms, Program,
    ports::Ports,
    workspace::Workspace,
};

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) spec: PodSpec,
    /// What a cluster would give it: what probes and the pod itself call it. The processes listen on 127.0.0.1.
    pub(super) simulated_ip: IpAddr,
    pub(super) ports: BTreeMap<u16, SocketAddr>,
    /// Ports that the programs have and the manifest does not name: nothing outside of the pod knows them.
    unnamed_ports: BTreeMap<u16, SocketAddr>,
    pub(super) directory: PathBuf,
    pub(super) programs: BTreeMap<String, FoundProgram>,
}

impl Pod {
    pub(super) fn new(
        spec: PodSpec,
        position: usize,
        found: &FoundPrograms,
        workspace: &Workspace,
        ports: &mut Ports,
    ) -> Result<Self, Error> {
        let mut addresses = BTreeMap::new();
        for port in spec.ports() {
            addresses.insert(port, ports.next(&format!("{} port {port}", spec.name))?);
        }
        let (mut programs, mut unnamed_ports) = (BTreeMap::new(), BTreeMap::new());
        for container in spec.all_containers() {
            if let Some(program) = found.get(&container.image) {
                let program = workspace.own(program.clone())?;
                for port in program.program.ports() {
                    if !addresses.contains_key(&port) && !unnamed_ports.contains_key(&port) {
                        unnamed_ports.insert(port, ports.next(&format!("{} port {port}", spec.name))?);
                    }
                }
                programs.insert(container.name.clone(), program);
            }
        }
        Ok(Self {
            simulated_ip: IpAddr::V4(address(position)),
            directory: workspace.path().join(&spec.name),
            ports: addresses,
            unnamed_ports,
            programs,
            spec,
        })
    }

    /// This machine's port for each port of the containers, the programs' own included.
    pub(super) fn local_ports(&self) -> BTreeMap<u16, u16> {
        self.ports.iter().chain(&self.unnamed_ports).map(|(number, address)| (*number, address.port())).collect()
    }

    /// The program of a container that runs something else, which may start it: `sh -c 'exec redis-server'`.
    pub(super) fn wrapped(&self, container: &Container) -> Option<&Program> {
        let program = &self.programs.get(&container.name)?.program;
        (program.script.is_some() && program.leaves(&container.command, &container.args)).then_some(program)
    }

    /// The directory for what a container has in no volume: sockets, the working directory. Each instance has its own.
    pub(super) fn private(&self, container: &str) -> PathBuf {
        self.directory.join(".private").join(container)
    }

    /// The directory of the programs that lead a container's clients to its server.
    pub(super) fn clients(&self, container: &str) -> PathBuf {
        self.directory.join(".clients").join(container)
    }

    /// The directory of the programs that start a container's server for another program.
    pub(super) fn servers(&self, container: &str) -> PathBuf {
        self.directory.join(".servers").join(container)
    }

    /// The script that replaces a container's entrypoint.
    pub(super) fn script(&self, container: &str) -> PathBuf {
        self.directory.join(format!("{container}.sh"))
    }
}

/// The address of the pod at a position. 10.244.0.0/16 is what many clusters give to pods; .1 is the bridge.
fn address(position: usize) -> Ipv4Addr {
    let offset = u32::try_from(position).unwrap_or(u32::MAX).saturating_add(2).min(0xFFFE);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 244, 0, 0)) + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_many_pods_has_an_address_of_its_own() {
        let at = |position| address(position).to_string();
        assert_eq!([at(0), at(253), at(254), at(1000)], ["10.244.0.2", "10.244.0.255", "10.244.1.0", "10.244.3.234"]);
    }
}
