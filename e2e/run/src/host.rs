//! The local machine and its processes. Main functions: [`host`], [`machine`], [`signal`].

use std::path::PathBuf;

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

/// The directories in which programs are looked for.
pub(crate) fn path() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
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
    fn idle_time_and_guests_do_not_count() {
        let stat = "cpu  1 2 4 1000 1000 8 16 32 5000 5000\ncpu0 1 1 1 1\ncpu11 1 1\nctxt 5\n";
        assert_eq!((busy_ticks(stat), cpus(stat)), (Some(63), 2));
        assert_eq!(busy_ticks("intr 5"), None);
    }
}
