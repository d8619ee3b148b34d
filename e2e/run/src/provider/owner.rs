//! Identifies the process that owns a run, unlike a later process with the same pid or one of another machine.
//! Main type: [`Owner`].

use std::{fmt, fs, time::Duration};

use crate::host::{self, stat, stat_field};

/// Label of everything that a run starts: the run's id.
pub(crate) const RUN: &str = "e2e.run";
/// Label that names the process which owns the run.
pub(crate) const OWNER: &str = "e2e.owner";

/// Labels of what a run has a hand in.
pub(crate) fn owner_labels(run_id: &str) -> [(String, String); 2] {
    [(RUN.to_owned(), run_id.to_owned()), (OWNER.to_owned(), Owner::this_process().to_string())]
}

/// Objects of a process that cannot be checked from here count as leftovers after this long: longer than any unattended run.
const UNSEEN_AGE: Duration = Duration::from_secs(6 * 3600);

/// A process of some machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    /// Clock ticks after boot, from `/proc/PID/stat`; 0 where there is no `/proc`.
    started: u64,
    space: PidSpace,
}

/// Where the number of a process means something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PidSpace {
    /// The inode of the process namespace; 0 where there is none. Several containers may share an engine, and each has a
    /// process 1.
    namespace: u64,
    /// What tells this boot of this machine from others, for an engine or a directory that several machines share; 0 where the
    /// system does not say. The first namespace of every Linux has the same inode.
    boot: String,
}

/// What can be said of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Alive,
    Ended,
    /// It is, or was, on another machine, in an earlier boot of this one, in another namespace, or hidden from this user.
    Unseen,
}

impl Owner {
    /// The process that runs this.
    pub(crate) fn this_process() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_of(pid).unwrap_or(0), space: PidSpace::here() }
    }

    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let (pid, started) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let namespace = parts.next()?.parse().ok()?;
        let boot = parts.next().unwrap_or_default().to_owned();
        Some(Self { pid, started, space: PidSpace { namespace, boot } })
    }

    fn state(&self, here: &PidSpace) -> State {
        if self.space != *here {
            return State::Unseen;
        }
        match look(self.pid) {
            Look::Started(started) if started == self.started => State::Alive,
            Look::Started(_) | Look::Zombie => State::Ended,
            Look::Unreadable if !exists(self.pid) => State::Ended,
            // Without a start the number decides; with one, this may be another process, which `/proc` hides from this user.
            Look::Unreadable if self.started == 0 => State::Alive,
            Look::Unreadable => State::Unseen,
        }
    }
}

/// Whether an object of this owner and age is a leftover.
pub(crate) fn is_left_behind(owner: Option<&str>, age: Duration) -> bool {
    is_left_behind_from(&PidSpace::here(), owner, age)
}

fn is_left_behind_from(here: &PidSpace, owner: Option<&str>, age: Duration) -> bool {
    match owner.and_then(Owner::parse).map(|owner| owner.state(here)) {
        Some(State::Alive) => false,
        Some(State::Ended) | None => true,
        Some(State::Unseen) => age > UNSEEN_AGE,
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, started, space: PidSpace { namespace, boot } } = self;
        write!(f, "{pid}.{started}.{namespace}.{boot}")
    }
}

impl PidSpace {
    fn here() -> Self {
        // As in `pid:[4026531836]`.
        let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let digits: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        // Half of its digits: a label of Kubernetes takes 63 characters, and the whole owner is one.
        let boot: String = boot.chars().filter(char::is_ascii_hexdigit).take(16).collect();
        let boot = if boot.is_empty() { "0".to_owned() } else { boot };
        Self { namespace: digits.parse().unwrap_or(0), boot }
    }
}

/// What `/proc` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// In clock ticks after boot.
    Started(u64),
    /// It has ended.
    Zombie,
    /// There is no such process, it is hidden from this user (`hidepid`), or there is no `/proc`.
    Unreadable,
}

fn look(pid: u32) -> Look {
    let stat = stat(pid);
    match (stat_field(&stat, 0), stat_field(&stat, 19)) {
        (Some('Z'), _) => Look::Zombie,
        (_, Some(started)) => Look::Started(started),
        _ => Look::Unreadable,
    }
}

/// When a process was started, in clock ticks after boot; `None` where it has ended, or where there is no `/proc`.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    match look(pid) {
        Look::Started(started) => Some(started),
        Look::Zombie | Look::Unreadable => None,
    }
}

fn exists(pid: u32) -> bool {
    host::pid(pid).is_some_and(|pid| is_there(rustix::process::test_kill_process(pid)))
}

/// Whether there is a process that took a signal so; another user's refuses it.
fn is_there(signalled: rustix::io::Result<()>) -> bool {
    signalled != Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const HOUR: Duration = Duration::from_secs(3600);

    fn is_left(owner: &Owner, age: Duration) -> bool {
        is_left_behind(Some(&owner.to_string()), age)
    }

    #[test]
    fn a_process_is_told_from_its_successor() {
        let owner = Owner::this_process();
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner.clone()));
        assert!(!is_left(&owner, DAY), "this process lives, however long it takes");
        let predecessor = Owner { started: owner.started + 1, ..owner };
        assert!(is_left(&predecessor, Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_seen_counts_as_alive_for_a_while() {
        let owner = Owner { started: 1, ..Owner::this_process() };
        let other = |boot: &str, namespace: u64| Owner {
            space: PidSpace { boot: boot.to_owned(), namespace },
            ..owner.clone()
        };
        let PidSpace { namespace, boot } = PidSpace::here();
        for (case, unseen) in [
            ("another machine, whose first namespace has the same number", other("00", namespace)),
            ("another container of this machine, alive or not", other(&boot, namespace + 1)),
            ("a version that did not name the boot", other("", namespace)),
        ] {
            assert!(!is_left(&unseen, HOUR) && is_left(&unseen, DAY), "{case}");
        }
    }

    #[test]
    fn where_the_system_says_nothing_the_number_decides() {
        let here = PidSpace { namespace: 0, boot: "0".to_owned() };
        let owner = Owner { space: here.clone(), ..Owner::this_process() };
        assert!(!is_left_behind_from(&here, Some(&owner.to_string()), DAY));
        let ended = Owner { started: owner.started + 1, ..owner };
        assert!(is_left_behind_from(&here, Some(&ended.to_string()), Duration::ZERO));
    }

    #[test]
    fn a_process_of_another_user_has_not_ended() {
        assert!(is_there(Ok(())) && is_there(Err(rustix::io::Errno::PERM)));
        assert!(!is_there(Err(rustix::io::Errno::SRCH)));
    }

    #[test]
    fn a_zombie_has_ended() {
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let owner = Owner { pid: child.id(), started: start_of(child.id()).unwrap_or(0), ..Owner::this_process() };
        // It ends, and nobody has asked how yet.
        while look(child.id()) != Look::Zombie {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(is_left(&owner, Duration::ZERO));
        child.wait().expect("its end");
        assert!(is_left(&owner, Duration::ZERO));
    }

    #[test]
    fn what_names_no_owner_is_left_behind() {
        assert!(is_left_behind(None, Duration::ZERO) && is_left_behind(Some("what"), Duration::ZERO));
    }

    #[test]
    fn an_owner_is_a_label() {
        let longest = Owner { pid: 4_194_304, started: 999_999_999_999, space: PidSpace::here() };
        let text = longest.to_string();
        assert!(text.len() <= 63 && text.ends_with(|end: char| end.is_ascii_alphanumeric()), "{text}");
    }
}
