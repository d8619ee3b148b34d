//! The machine that runs this. Main function: [`host`].

use crate::report::Host;

/// Processors, memory and kernel.
pub fn host() -> Host {
    let info = rustix::system::sysinfo();
    Host {
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        memory_bytes: info.totalram as u64 * u64::from(info.mem_unit),
        kernel: kernel(),
    }
}

/// Kernel and its version.
pub(crate) fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}
