//! The processes of containers that the kernel throttled at their CPU limits. Main function: [`of_throttled`].

use std::{collections::BTreeMap, time::Duration};

use e2e_node::node::Runtime;
use e2e_report::evidence::{
    Throttling,
    processes::{ContainerProcesses, Process},
};

use crate::provider::{Provider, pods::PodSpec};

/// A container that was throttled may take long for two processes.
const LIMIT: Duration = Duration::from_secs(5);

/// Says its own process id, and then what `/proc` has of each process, as `/proc/PID/status` words it.
const SCRIPT: &str =
    "echo \"self: $$\"; exec grep -hE '^(Name|Pid|PPid|Threads|Cpus_allowed_list):' /proc/[0-9]*/status 2>/dev/null";

/// The processes of each container with a CPU limit in a pod that was throttled. An image without a shell does not tell.
pub(super) async fn of_throttled(
    provider: &Provider,
    pods: &[PodSpec],
    throttling: &BTreeMap<String, Throttling>,
) -> Vec<ContainerProcesses> {
    let throttled = pods.iter().filter(|pod| throttling.get(&pod.name).is_some_and(|counted| counted.throttled > 0));
    let containers =
        throttled.flat_map(|pod| pod.component.pod.containers.iter().map(move |container| (pod, container)));
    let asked = containers.filter_map(|(pod, container)| {
        let limit = container.resources.cpu_limit_millis?;
        Some(async move {
            let command = ["sh", "-c", SCRIPT].map(str::to_owned);
            let said = provider.exec(&pod.name, &container.name, &command, LIMIT).await.ok()?;
            let (cpus, processes) = read(&String::from_utf8_lossy(&said.output))?;
            let (pod, container) = (pod.name.clone(), container.name.clone());
            Some(ContainerProcesses { pod, container, cpu_limit_millis: limit, cpus, processes })
        })
    });
    futures_util::future::join_all(asked).await.into_iter().flatten().collect()
}

/// The processors that the first process may run on, and all processes but the one that asks.
fn read(text: &str) -> Option<(u64, BTreeMap<u32, Process>)> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim()));
    let (_, this) = lines.find(|(key, _)| *key == "self")?;
    let (mut processes, mut cpus) = (BTreeMap::new(), None);
    let (mut pid, mut process) = (None, None);
    for (key, value) in lines {
        match key {
            // Begins with it.
            "Name" => process = Some(Process { parent: 0, name: value.to_owned(), threads: 0 }),
            "Pid" => pid = Some(value).filter(|pid| *pid != this).and_then(|pid| pid.parse().ok()),
            "PPid" => process.as_mut()?.parent = value.parse().ok()?,
            "Threads" => process.as_mut()?.threads = value.parse().ok()?,
            // Ends with it.
            _ => {
                cpus = cpus.or_else(|| counted(value));
                processes.extend(pid.take().zip(process.take()));
            }
        }
    }
    Some((cpus?, processes))
}

/// How many numbers a list such as `0-3,8` holds.
fn counted(list: &str) -> Option<u64> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    list.split(',').map(range).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_but_the_one_that_asks() {
        let process = |pid: u32, name: &str, parent: u32| {
            format!("Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\nThreads:\t1\nCpus_allowed_list:\t0-3,8\n")
        };
        let said = format!("self: 30\n{}{}{}", process(1, "nginx", 0), process(7, "nginx", 1), process(30, "grep", 0));
        let (cpus, processes) = read(&said).unwrap();
        let nginx = |parent| Process { parent, name: "nginx".to_owned(), threads: 1 };
        assert_eq!((cpus, processes), (5, BTreeMap::from([(1, nginx(0)), (7, nginx(1))])));
        assert_eq!(read("sh: not found"), None);
        assert_eq!(read("self: 30\n"), None, "no /proc");
    }
}
