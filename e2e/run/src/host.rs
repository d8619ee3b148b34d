//! The local machine and its processes. Main functions: [`host`], [`machine`], [`signal`].

use std::str::FromStr;

use e2e_report::{evidence::Machine, request::Host};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

pub(crate) fn host() -> Host {
    let info = rustix::system::sysinfo();
    Host {
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        memory_bytes: info.totalram as u64 * u64::from(info.mem_unit),
        kernel: kernel(),
    }
}

pub(crate) fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}

pub(crate) fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Sends a signal to a process, which may have ended just now.
pub(crate) fn signal(process: u32, signal: Signal) {
    let _ = pid(process).map(|pid| kill_process(pid, signal));
}

/// Sends a signal to what is left of a group, which is named by the process that it began with. A number stays taken as long as its
/// group has members, and Linux gives away all others before it gives away one again, so no stranger is met.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    let _ = pid(leader).map(|leader| kill_process_group(leader, signal));
}

/// What `/proc` says of a process, as in `proc_pid_stat(5)`; nothing where it has none.
pub(crate) fn stat(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
}

/// A field of it, counted from the state, a letter as in `ps`; before it is the command's name, which may hold blanks and parentheses.
pub(crate) fn stat_field<T: FromStr>(stat: &str, index: usize) -> Option<T> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.parse().ok()
}

/// How busy this machine has been since boot, including time stolen by its hypervisor, which was unusable here. `None` without
/// `/proc`.
pub(crate) fn machine() -> Option<Machine> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let (ticks, cpus) = (busy_ticks(&stat)?, cpus(&stat));
    let busy_seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Some(Machine { busy_seconds, measured_unix_ms: None, cpus: Some(cpus) })
}

/// Of the line of all processors: user, nice, system, idle, iowait, irq, softirq, steal; guests are counted within user and nice
/// (`proc_stat(5)`).
fn busy_ticks(stat: &str) -> Option<u64> {
    const IDLE_AND_IOWAIT: std::ops::RangeInclusive<usize> = 3..=4;
    let all = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace().take(8);
    all.enumerate()
        .filter(|(index, _)| !IDLE_AND_IOWAIT.contains(index))
        .map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum()
}

/// The machine's processors, possibly more than this process may use.
fn cpus(stat: &str) -> u64 {
    let is_one =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    stat.lines().filter(is_one).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_command_name() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 11 22 33 44 20 0";
        assert_eq!((stat_field(stat, 0), stat_field(stat, 1)), (Some('S'), Some(7)));
        assert_eq!((11..15).filter_map(|index| stat_field::<u64>(stat, index)).sum::<u64>(), 110);
    }

    #[test]
    fn idle_time_and_guests_do_not_count() {
        let stat = "cpu  1 2 4 1000 1000 8 16 32 5000 5000\ncpu0 1 1 1 1\ncpu11 1 1\nctxt 5\n";
        assert_eq!((busy_ticks(stat), cpus(stat)), (Some(63), 2));
        assert_eq!(busy_ticks("intr 5"), None);
    }
}
