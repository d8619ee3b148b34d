//! The container that holds a pod's network, with the Services in it, published ports and volumes. Main type: [`Sandbox`].

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bollard::{
    body_full,
    models::{
        ContainerCreateBody, EndpointSettings, HostConfig, Mount, MountType, MountVolumeOptions,
        MountVolumeOptionsDriverConfig, NetworkingConfig, PortBinding,
    },
    query_parameters::{
        ContainerArchiveInfoOptionsBuilder, CreateContainerOptionsBuilder, UploadToContainerOptionsBuilder,
    },
};
use e2e_plan::Volume;

use super::{engine::Engine, link::Link, network::Network, services::Services};
use crate::{
    image::{SANDBOX_IMAGE, directories, orders, volume_path},
    provider::{
        Error,
        pods::{self, PodSpec},
    },
};

#[derive(Debug)]
pub(super) struct Sandbox {
    pod: String,
    /// The container's id.
    pub(super) id: String,
    /// The pod's address.
    pub(super) ip: IpAddr,
    /// Whether this machine reaches that address itself.
    pub(super) direct: bool,
    published: BTreeMap<u16, SocketAddr>,
    /// The volumes that it holds, in the order of their places in it.
    volumes: Vec<Held>,
    /// Keeps the Services in its network as they are.
    pub(super) link: Link,
}

impl Sandbox {
    /// Starts a sandbox. Its ports are published where this machine does not route to pods: publishing costs a tenth of a second
    /// and a process for each port.
    pub(super) async fn start(
        engine: &Engine,
        pod: &PodSpec,
        services: &Arc<Services>,
        network: &Network,
    ) -> Result<Self, Error> {
        let is_guess = network.is_routed();
        let sandbox = Self::create(engine, pod, services, network, !is_guess).await?;
        if sandbox.direct || !is_guess {
            return Ok(sandbox);
        }
        // Another machine's engine whose network looks like one of this machine's.
        engine.remove_container(&sandbox.id).await?;
        Self::create(engine, pod, services, network, true).await
    }

    async fn create(
        engine: &Engine,
        pod: &PodSpec,
        services: &Arc<Services>,
        network: &Network,
        publish: bool,
    ) -> Result<Self, Error> {
        let name = pods::name(&engine.run_id, &pod.name);
        let failed = |action| {
            let name = name.clone();
            move |error| Error::engine(action, &name, error)
        };
        let volumes = held(pod, &engine.run_id);
        if volumes.len() > orders::VOLUMES {
            let (count, most) = (volumes.len(), orders::VOLUMES);
            let reason = format!("the pod has {count} writable volumes, a sandbox holds at most {most}");
            return Err(Error::sandbox(&pod.name, reason));
        }
        let mut body = body(engine, pod, services, network, mounts(engine, &volumes), memory_bytes(&volumes));
        if !publish && let Some(host) = &mut body.host_config {
            host.port_bindings = None;
        }
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let client = &engine.client;
        let id = client.create_container(Some(options), body).await.map_err(failed("create the sandbox"))?.id;
        let started = async {
            client.start_container(&id, None).await.map_err(failed("start the sandbox"))?;
            let inspected = client.inspect_container(&id, None).await.map_err(failed("inspect the sandbox"))?;
            let settings = inspected.network_settings.unwrap_or_default();
            let endpoint = settings.networks.as_ref().and_then(|networks| networks.get(&network.name));
            let ip = endpoint.and_then(|endpoint| endpoint.ip_address.as_ref()?.parse().ok());
            let ip = ip.ok_or_else(|| Error::sandbox(&pod.name, "the engine assigned no address"))?;
            let link = Link::open(engine, services, &pod.name, &id, ip).await?;
            Ok((ip, link, settings.ports.unwrap_or_default()))
        };
        let (ip, link, ports) = match started.await {
            Ok(started) => started,
            Err(error) => {
                // A retry needs the name, and the first error is the relevant one.
                let _ = engine.remove_container(&id).await;
                return Err(error);
            }
        };
        let published = ports
            .into_iter()
            .filter_map(|(port, bindings)| {
                let port = port.split('/').next()?.parse().ok()?;
                let host_port = bindings?.first()?.host_port.as_ref()?.parse().ok()?;
                Some((port, SocketAddr::from((Ipv4Addr::LOCALHOST, host_port))))
            })
            .collect();
        let (pod, direct) = (pod.name.clone(), network.is_reached(ip).await);
        Ok(Self { pod, id, ip, direct, published, volumes, link })
    }

    /// Where this machine reaches a port of the pod. The pod's own address is preferred: published ports go through a
    /// user-space proxy, which would be measured along with the system.
    pub(super) fn dial(&self, port: u16) -> Option<SocketAddr> {
        match self.direct {
            true => Some(SocketAddr::new(self.ip, port)),
            false => self.published.get(&port).copied(),
        }
    }

    /// One of the pod's volumes, with its place in the sandbox.
    pub(super) fn volume(&self, name: &str) -> Result<(u32, &Held), Error> {
        let found = (0..).zip(&self.volumes).find(|(_, held)| held.name == name);
        found.ok_or_else(|| Error::sandbox(&self.pod, format!("it has no volume {name}")))
    }

    /// The engine's names of the volumes that end with the pod.
    pub(super) fn own_volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().filter(|held| !held.is_persistent).map(|held| held.source.as_str())
    }

    /// A directory of one of the pod's volumes, as the engine's machine names it. Where it is not there it is made, and everybody may
    /// write to it.
    pub(super) async fn directory(&self, engine: &Engine, volume: &str, sub_path: &str) -> Result<String, Error> {
        let (index, Held { source, .. }) = self.volume(volume)?;
        let failed = |action| {
            let name = format!("{source}/{sub_path}");
            move |error| Error::engine(action, &name, error)
        };
        let place = volume_path(index as usize);
        let path = ContainerArchiveInfoOptionsBuilder::default().path(&format!("{place}/{sub_path}"));
        // A container before this one may have made it, with a mode of its own, or a file in its place.
        if engine.client.get_container_archive_info(&self.id, Some(path.build())).await.is_err() {
            let place = UploadToContainerOptionsBuilder::default().path(&place).build();
            let archive = body_full(directories(sub_path).into());
            let uploaded = engine.client.upload_to_container(&self.id, Some(place), archive).await;
            uploaded.map_err(failed("make the directory"))?;
        }
        let inspected = engine.client.inspect_volume(source).await.map_err(failed("inspect the volume of"))?;
        Ok(format!("{}/{sub_path}", inspected.mountpoint))
    }
}

fn body(
    engine: &Engine,
    pod: &PodSpec,
    services: &Services,
    network: &Network,
    volumes: Vec<Mount>,
    memory_bytes: i64,
) -> ContainerCreateBody {
    let endpoint = EndpointSettings { aliases: Some(services.dns_names(pod)), ..Default::default() };
    let ports: Vec<String> = pod.ports().map(|port| format!("{port}/tcp")).collect();
    // Any free port, on the loopback address only.
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
    ContainerCreateBody {
        image: Some(SANDBOX_IMAGE.to_owned()),
        hostname: Some(pod.name.clone()),
        // Its program writes the pod's rules and names; the pod's containers get none of its rights.
        user: Some("0:0".to_owned()),
        open_stdin: Some(true),
        labels: Some(engine.labels()),
        exposed_ports: Some(ports.clone()),
        host_config: Some(HostConfig {
            port_bindings: Some(ports.into_iter().map(|port| (port, Some(vec![binding.clone()]))).collect()),
            mounts: Some(volumes),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(vec!["NET_ADMIN".to_owned()]),
            memory: Some(memory_bytes),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.name.clone(), endpoint)])),
        }),
        ..Default::default()
    }
}

/// A volume that a sandbox holds.
#[derive(Debug)]
pub(super) struct Held {
    /// The pod's name of it.
    name: String,
    /// The engine's.
    pub(super) source: String,
    is_persistent: bool,
    in_memory: bool,
    size_limit_bytes: Option<u64>,
}

fn held(pod: &PodSpec, run_id: &str) -> Vec<Held> {
    let held = |(name, volume): (&String, &Volume)| {
        let (source, is_persistent, in_memory, size_limit_bytes) = match volume {
            Volume::EmptyDir { in_memory, size_limit_bytes } => {
                (format!("{}-{name}", pod.name), false, *in_memory, *size_limit_bytes)
            }
            Volume::Persistent { name, per_pod } => (pod.storage(name, *per_pod), true, false, None),
            Volume::Files(_) => return None,
        };
        let source = pods::name(run_id, &source);
        Some(Held { name: name.clone(), source, is_persistent, in_memory, size_limit_bytes })
    };
    pod.component.pod.volumes.iter().filter_map(held).collect()
}

/// The memory limit of a sandbox. Its only program has buffers of two megabytes, and the kernel may hold packets for it; what it fills
/// volumes in memory with counts too.
fn memory_bytes(volumes: &[Held]) -> i64 {
    let in_memory = volumes.iter().filter(|held| held.in_memory);
    let volumes: u64 = in_memory.filter_map(|held| held.size_limit_bytes).sum();
    i64::try_from(volumes.saturating_add(16 * 1024 * 1024)).unwrap_or(i64::MAX)
}

/// The pod's volumes, which the engine makes with the sandbox and labels.
fn mounts(engine: &Engine, volumes: &[Held]) -> Vec<Mount> {
    let mount = |(index, held): (usize, &Held)| Mount {
        target: Some(volume_path(index)),
        source: Some(held.source.clone()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(engine.labels()),
            driver_config: held.in_memory.then(|| memory(held.size_limit_bytes)),
            ..Default::default()
        }),
        ..Default::default()
    };
    volumes.iter().enumerate().map(mount).collect()
}

/// A volume in memory, which lasts as long as a container has it mounted. Full, it takes no more, as in a cluster.
fn memory(size_limit_bytes: Option<u64>) -> MountVolumeOptionsDriverConfig {
    let size = size_limit_bytes.map_or(String::new(), |bytes| format!(",size={bytes}"));
    let options = [("type", "tmpfs".to_owned()), ("device", "tmpfs".to_owned()), ("o", format!("mode=0777{size}"))];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    MountVolumeOptionsDriverConfig { name: Some("local".to_owned()), options: Some(HashMap::from(options)) }
}
