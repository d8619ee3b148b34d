//! What a process and its descendants use, from `/proc`. Main type: [`Processes`].

use std::{collections::HashMap, fs};

use e2e_report::evidence::Usage;

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
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some(parent) = field(&stat, 1) {
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
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let ticks: u64 = (11..15).filter_map(|index| field::<u64>(&stat, index)).sum();
            // Linux reports these times in hundredths of a second on every architecture (USER_HZ, proc(5)).
            usage.cpu_seconds += ticks as f64 / 100.0;
        }
        usage.memory_bytes += shared_bytes_max;
        usage
    }
}

/// The state of a process, as in `ps`.
pub(super) fn state(pid: u32) -> Option<char> {
    field(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, 0)
}

/// A field of `/proc/PID/stat`, counted from the one behind the command name, which may hold blanks and parentheses.
fn field<T: std::str::FromStr>(stat: &str, index: usize) -> Option<T> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

fn kibibytes(status: &str, key: &str) -> u64 {
    status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_command_name() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0";
        assert_eq!(field::<u32>(stat, 1), Some(7));
        assert_eq!((11..15).filter_map(|index| field::<u64>(stat, index)).sum::<u64>(), 110);
    }

    #[test]
    fn this_process_uses_memory() {
        let Some(processes) = Processes::read() else { return eprintln!("SKIPPED: no /proc on this system") };
        let usage = processes.usage(std::process::id());
        assert!(usage.memory_bytes > 100_000, "{usage:?}");
    }
}
