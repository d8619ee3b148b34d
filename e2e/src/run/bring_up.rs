//! Waits until everything is ready, or until it is clear that it will not be. Main function: [`wait`].

use super::{Error, prepare::Prepared, system::System};
use crate::{kubelet::node::Snapshot, progress::Progress, run_dir};

/// Waits and writes `environment.json`. A system that is up but not ready is no error: the suites then say what is wrong with it.
pub(super) async fn wait(system: &System, prepared: &Prepared, progress: &Progress) -> Result<(), Error> {
    let mut snapshots = system.node.watch();
    let shown = async {
        loop {
            progress.pods(&snapshots.borrow_and_update());
            if snapshots.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let settled = system.node.wait_for("not all pods are ready", prepared.config.bring_up, is_settled);
    let settled = tokio::select! {
        () = shown => return Ok(()),
        settled = settled => settled,
    };
    progress.pods(&system.node.snapshot());
    progress.pods_done();
    let snapshot = system.node.snapshot();
    let ready = snapshot.all_ready();
    let environment = system.environment(prepared, ready);
    prepared.directory.write_json(run_dir::ENVIRONMENT, &environment)?;
    let took = crate::duration::human(std::time::Duration::from_millis(environment.up_ms));
    match (ready, settled) {
        (true, _) => progress.line(format!("all {} pods are ready after {took}", snapshot.pods.len())),
        (false, Ok(_)) => progress.line(format!("will not become ready: {}", snapshot.unready_lines())),
        (false, Err(_)) => progress.line(format!("not ready after {took}: {}", snapshot.unready_lines())),
    }
    Ok(())
}

/// How many restarts of one pod make it clear that waiting does not help.
const HOPELESS_RESTARTS: u32 = 2;

fn is_settled(snapshot: &Snapshot) -> bool {
    snapshot.all_ready() || snapshot.pods.values().any(|pod| !pod.ready && pod.restarts >= HOPELESS_RESTARTS)
}
