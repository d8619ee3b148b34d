//! What the engine knows of containers that run: usage, throttling, images, output.

use std::{collections::BTreeMap, sync::Arc};

use bollard::{
    models::ContainerStatsResponse,
    query_parameters::{LogsOptionsBuilder, TopOptionsBuilder},
};
use e2e_report::evidence::{Throttling, Usage};
use futures_util::{StreamExt, future::join_all};
use testcontainers::{ContainerAsync, GenericImage};

use super::DockerPods;
use crate::provider::pods::Wanted;

impl DockerPods {
    /// What each pod's containers use now.
    pub(crate) async fn usage(&self) -> BTreeMap<String, Usage> {
        let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
        for (pod, stats) in self.stats().await {
            let Some(used) = used(stats) else { continue };
            *usage.entry(pod).or_default() += used;
        }
        usage
    }

    /// How often each pod's containers were throttled at their CPU limits.
    pub(crate) async fn throttling(&self) -> BTreeMap<String, Throttling> {
        let mut throttling: BTreeMap<String, Throttling> = BTreeMap::new();
        for (pod, stats) in self.stats().await {
            if let Some(data) = stats.cpu_stats.and_then(|cpu| cpu.throttling_data) {
                let (periods, throttled) = (data.periods.unwrap_or(0), data.throttled_periods.unwrap_or(0));
                *throttling.entry(pod).or_default() += Throttling { periods, throttled };
            }
        }
        throttling.retain(|_, throttling| throttling.periods > 0);
        throttling
    }

    /// The engine's statistics of each running container, with its pod.
    async fn stats(&self) -> Vec<(String, ContainerStatsResponse)> {
        let stats = self.running().await.into_iter().map(|(pod, container)| async move {
            let stats = self.engine.stats(container.id()).await?;
            Some((pod, stats))
        });
        join_all(stats).await.into_iter().flatten().collect()
    }

    /// The containers of all pods, each with its pod.
    async fn running(&self) -> Vec<(String, Arc<ContainerAsync<GenericImage>>)> {
        self.containers.lock().await.iter().map(|(key, c)| (key.0.clone(), Arc::clone(c))).collect()
    }

    /// The states of the processes of a pod's containers.
    pub(crate) async fn process_states(&self, pod: &str) -> Option<String> {
        let client = &self.engine.client;
        let mut states = String::new();
        for (_, container) in self.running().await.iter().filter(|(of, _)| of == pod) {
            let found = client.inspect_container(container.id(), None).await.ok()?.state?;
            if found.paused == Some(true) {
                // As of a process that is stopped: with cgroup v2 a frozen one looks as if it slept.
                states.push('T');
                continue;
            }
            let options = TopOptionsBuilder::default().ps_args("-eo pid,stat").build();
            let top = client.top_processes(container.id(), Some(options)).await.ok()?;
            let column = top.titles?.iter().position(|title| title == "STAT")?;
            for process in top.processes? {
                states.push(process.get(column)?.chars().next()?);
            }
        }
        (!states.is_empty()).then_some(states)
    }

    /// The digest of each image that a container runs, by the image's name.
    pub(crate) async fn images(&self) -> BTreeMap<String, String> {
        let images = self.running().await.into_iter().map(|(_, container)| async move {
            let found = self.engine.client.inspect_container(container.id(), None).await.ok()?;
            Some((found.config?.image?, found.image?))
        });
        join_all(images).await.into_iter().flatten().collect()
    }

    /// Output of every container so far, by pod and container.
    pub(crate) async fn logs(&self, is_wanted: &Wanted<'_>) -> BTreeMap<(String, String), String> {
        let pods: Vec<_> = self.pods.read().values().cloned().collect();
        // Of ended instances, and, with the lock held, not of one that is about to be among them too.
        let containers = self.containers.lock().await;
        let mut wanted = Vec::new();
        for pod in pods.iter().filter(|pod| is_wanted(&pod.spec.name)) {
            for container in pod.spec.all_containers() {
                let key = (pod.spec.name.clone(), container.name.clone());
                let before =
                    std::fs::read(pod.log(&container.name)).map(|text| String::from_utf8_lossy(&text).into_owned());
                let now = containers.get(&key).cloned();
                if before.is_ok() || now.is_some() {
                    wanted.push((key, before.unwrap_or_default(), now));
                }
            }
        }
        drop(containers);
        let mut logs = BTreeMap::new();
        for (key, mut text, now) in wanted {
            if let Some(container) = now {
                text.push_str(&self.written(container.id()).await);
            }
            logs.insert(key, text);
        }
        logs
    }

    /// What a container has written.
    pub(super) async fn written(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut stream = self.engine.client.logs(id, Some(options));
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => text.push_str(&String::from_utf8_lossy(&chunk.into_bytes())),
                Err(error) => text.push_str(&format!("--- cannot read the rest: {error} ---\n")),
            }
        }
        text
    }
}

/// As `docker stats` has it: without the page cache that the kernel gives back when asked.
pub(super) fn used(stats: ContainerStatsResponse) -> Option<Usage> {
    let memory = stats.memory_stats?;
    let details = memory.stats.unwrap_or_default();
    let cache = details.get("inactive_file").or_else(|| details.get("total_inactive_file")).copied().unwrap_or(0);
    let cpu_nanoseconds = stats.cpu_stats?.cpu_usage?.total_usage?;
    let memory_bytes = memory.usage?.saturating_sub(cache);
    Some(Usage { memory_bytes, cpu_seconds: cpu_nanoseconds as f64 / 1e9, measured_unix_ms: None })
}
