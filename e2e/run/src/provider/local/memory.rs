//! Memory limits for plain processes: kills a process above its limit, as the kernel does in a container.
//! Main function: [`watch`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use e2e_node::poll::every;
use parking_lot::Mutex;

use super::{Running, usage::Processes};

/// Short enough that a leak of 100 MB/s passes its limit by 10 MB at most; a look costs about 2 ms.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks until it is dropped.
pub(super) async fn watch(running: Arc<Mutex<BTreeMap<(String, String), Running>>>) {
    every(PERIOD, async move || {
        // There may be no file left to open for the moment.
        let Some(processes) = Processes::read() else { return };
        let limited: Vec<Running> = running.lock().values().cloned().collect();
        for Running { process, memory_limit_bytes } in limited {
            let Some(limit) = memory_limit_bytes.filter(|_| process.is_running()) else { continue };
            if processes.usage(process.pid()).memory_bytes > limit {
                process.kill_out_of_memory();
            }
        }
    })
    .await;
}
