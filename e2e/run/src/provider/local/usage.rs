//! What a process and its descendants use, from `/proc`. Main type: [`Processes`].

use std::{collections::HashMap, fs};

use e2e_report::evidence::Usage;

use crate::host::{stat, stat_field};

/// Parents of all processes, read once for many trees.
pub(super) struct Processes {
    children: HashMap<u32, Vec<u32>>,
}

impl Processes {
    /// Reads the process table; `None` where there is no `/proc`.
    pub(super) fn read() -> Option<Self> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if let Some(parent) = stat_field(&stat(pid), 1) {
                children.entry(parent).or_default().push(pid);
            }
        }
        Some(Self { children })
    }

    /// A process and all below it, parents first.
    pub(super) fn tree(&self, root: u32) -> Vec<u32> {
        let mut tree = vec![root];
        let mut next = 0;
        while next < tree.len() {
            tree.extend(self.children.get(&tree[next]).into_iter().flatten());
            next += 1;
        }
        tree
    }

    /// What a tree uses: the anonymous memory of all processes, and the largest shared mapping once, which is close to what a memory cgroup
    /// counts without the page cache; user and system time, children that ended included.
    pub(super) fn usage(&self, root: u32) -> Usage {
        let mut usage = Usage::default();
        let mut shared_bytes_max = 0;
        for pid in self.tree(root) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            usage.memory_bytes += kibibytes(&status, "RssAnon:") * 1024;
            shared_bytes_max = shared_bytes_max.max(kibibytes(&status, "RssShmem:") * 1024);
            let stat = stat(pid);
            let ticks: u64 = (11..15).filter_map(|index| stat_field::<u64>(&stat, index)).sum();
            // Linux reports these times in hundredths of a second on every architecture (USER_HZ, proc(5)).
            usage.cpu_seconds += ticks as f64 / 100.0;
        }
        usage.memory_bytes += shared_bytes_max;
        usage
    }
}

fn kibibytes(status: &str, key: &str) -> u64 {
    status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let Some(processes) = Processes::read() else { return eprintln!("SKIPPED: no /proc on this system") };
        let usage = processes.usage(std::process::id());
        assert!(usage.memory_bytes > 100_000, "{usage:?}");
    }
}
