//! The process that owns a run, told apart from a later process with the same number. Main type: [`Owner`].

use std::{fmt, fs};

/// A process on this boot of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    /// Clock ticks after boot, from `/proc/PID/stat`; 0 where there is no `/proc`.
    started: u64,
    /// The process namespace, in which the number means something; 0 where there is none. Several containers may share an
    /// engine, and each has a process 1.
    namespace: u64,
}

impl Owner {
    /// The process that runs this.
    pub(crate) fn this_process() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_of(pid).unwrap_or(0), namespace: namespace() }
    }

    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse);
        let (pid, started, namespace) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        Some(Self { pid: u32::try_from(pid).ok()?, started, namespace })
    }

    /// Whether that very process still runs. One of another namespace cannot be seen from here, so it counts as running: its
    /// own `gc` knows better.
    pub(crate) fn is_alive(&self) -> bool {
        if self.namespace != namespace() {
            return true;
        }
        match start_of(self.pid) {
            Some(started) => started == self.started,
            None if self.started == 0 => exists(self.pid),
            None => false,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.pid, self.started, self.namespace)
    }
}

/// When a process was started, in clock ticks after boot; `None` where it has ended, or where there is no `/proc`.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1;
    // A zombie has ended; nobody asked how yet.
    let mut fields = fields.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The inode that names this process's namespace, as in `pid:[4026531836]`.
fn namespace() -> u64 {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

fn exists(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successor() {
        let owner = Owner::this_process();
        assert!(owner.is_alive());
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner.clone()));
        let successor = Owner { started: owner.started + 1, ..owner.clone() };
        assert!(!successor.is_alive());
        let elsewhere = Owner { namespace: 1, ..successor };
        assert!(elsewhere.is_alive(), "it may be; who could tell?");
        assert_eq!(Owner::parse("what"), None);
    }
}
