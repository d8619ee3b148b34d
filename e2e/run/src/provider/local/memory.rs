//! Memory limits for plain processes: kills a process above its limit, as the kernel does in a container.
//! Main type: [`Watch`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::{Running, usage::Processes};

/// Short enough that a leak of 100 MB/s passes its limit by 10 MB at most; a look costs about 2 ms.
const PERIOD: Duration = Duration::from_millis(100);

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(running: Arc<Mutex<BTreeMap<(String, String), Running>>>) -> Self {
        Self { task: tokio::spawn(watch(running)) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(running: Arc<Mutex<BTreeMap<(String, String), Running>>>) {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        // There may be no file left to open for the moment.
        let Some(processes) = Processes::read() else { continue };
        let limited: Vec<Running> = running.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for Running { process, memory_limit_bytes } in limited {
            let Some(limit) = memory_limit_bytes.filter(|_| process.is_running()) else { continue };
            if processes.usage(process.pid()).memory_bytes > limit {
                process.kill_out_of_memory();
            }
        }
    }
}
