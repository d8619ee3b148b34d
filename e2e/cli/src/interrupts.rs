//! The orderly end of child processes, and of verbs that clean up before they exit. Main function: [`stop`].

use std::{process::ExitStatus, time::Duration};

use anyhow::{Context, Result};
pub use e2e_run::Interrupts;
use e2e_run::stop_process;
use tokio::{process::Child, time::timeout};

/// Asks a child to stop, waits for it, and kills it after `patience`.
///
/// # Errors
///
/// When the child had to be killed.
pub async fn stop(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    if let Some(pid) = child.id() {
        stop_process(pid);
    }
    if let Ok(ended) = timeout(patience, child.wait()).await {
        return ended.context("cannot wait for a process");
    }
    child.kill().await.context("cannot kill a process")?;
    anyhow::bail!("it did not stop within {} s of SIGINT and was killed", patience.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_that_ignores_sigint_is_killed() {
        let start = |script| tokio::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let mut obedient = start("exec sleep 60");
        assert!(stop(&mut obedient, Duration::from_secs(10)).await.is_ok());
        let set = tempfile::NamedTempFile::new().unwrap();
        let script = format!("trap '' INT; echo set > {}; while :; do sleep 0.1; done", set.path().display());
        let mut deaf = start(&script);
        while std::fs::read(set.path()).unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = stop(&mut deaf, Duration::from_millis(100)).await.unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(deaf.try_wait().unwrap().is_some());
    }
}
