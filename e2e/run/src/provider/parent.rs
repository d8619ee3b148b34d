//! Processes that end when this program ends, whatever ends it. Main function: [`end_with_parent`].

use tokio::process::Command;

/// Has the kernel send SIGTERM to the command's process when the thread that starts it ends. Starts happen on the main thread
/// or on the runtime's worker threads, which live as long as the program.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec; one system call without allocation is safe there")]
pub(crate) fn end_with_parent(command: &mut Command) {
    // Runs after the change of user, which would clear it.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
                .map_err(std::io::Error::from)
        });
    }
}

/// Elsewhere only an orderly end reaches them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn end_with_parent(_command: &mut Command) {}
