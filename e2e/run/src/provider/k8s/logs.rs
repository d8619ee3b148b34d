//! What containers have written, as far as the cluster still has it. Main functions: [`K8sPods::logs`], [`K8sPods::log`].

use std::{collections::BTreeMap, pin::pin};

use futures_util::{AsyncRead, AsyncReadExt};
use kube::api::LogParams;
use tokio::time::timeout;

use super::{K8sPods, limit::ANSWER_LIMIT};
use crate::provider::pods::Wanted;

impl K8sPods {
    /// Output of every container, with that of the instance before where there was one.
    pub(crate) async fn logs(&self, is_wanted: &Wanted<'_>) -> BTreeMap<(String, String), String> {
        let containers = self.specs.iter().filter(|spec| is_wanted(&spec.name)).flat_map(|spec| {
            let (name, _) = self.object(&spec.name).unzip();
            spec.all_containers()
                .filter_map(move |container| Some(((spec.name.clone(), container.name.clone()), name.clone()?)))
        });
        let snapshot = self.watch.snapshots().borrow().clone();
        let logs = containers.map(|((slot, container), name)| {
            let restarted = snapshot
                .pod(&slot)
                .and_then(|pod| pod.container(&container))
                .is_some_and(|c| c.status.restart_count > 0);
            async move {
                let before = if restarted { self.log(&name, &container, true).await } else { None };
                let now = self.log(&name, &container, false).await;
                let text = match (before, now) {
                    (Some(before), now) => format!("{before}--- restarted ---\n{}", now.unwrap_or_default()),
                    (None, now) => now?,
                };
                Some(((slot, container), text))
            }
        });
        futures_util::future::join_all(logs).await.into_iter().flatten().collect()
    }

    /// What a container has written; nothing of one that has not run. A log that stops coming ends with the reason.
    pub(super) async fn log(&self, pod: &str, container: &str, previous: bool) -> Option<String> {
        let parameters = LogParams { container: Some(container.to_owned()), previous, ..LogParams::default() };
        match self.pods().log_stream(pod, &parameters).await {
            Ok(stream) => Some(whole(stream).await),
            // The container has not run, or the pod has gone.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => None,
            Err(error) => Some(format!("--- cannot read it: {error} ---\n")),
        }
    }
}

/// All that comes of a log. One that says nothing for too long, or breaks, has given what there was.
async fn whole(stream: impl AsyncRead) -> String {
    let (mut stream, mut all, mut chunk) = (pin!(stream), Vec::new(), vec![0; 1 << 16]);
    let reason = loop {
        match timeout(ANSWER_LIMIT, stream.read(&mut chunk)).await {
            Ok(Ok(0)) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(Ok(length)) => all.extend_from_slice(&chunk[..length]),
            Ok(Err(error)) => break error.to_string(),
            Err(_) => break format!("nothing more came within {}", e2e_plan::duration::human(ANSWER_LIMIT)),
        }
    };
    format!("{}\n--- cannot read the rest: {reason} ---\n", String::from_utf8_lossy(&all))
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, TryStreamExt, stream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_log_arrives_whole_and_a_broken_one_keeps_what_came() {
        let lines = |count| {
            stream::iter(0..count).then(|line| async move {
                tokio::time::sleep(ANSWER_LIMIT / 2).await;
                std::io::Result::Ok(format!("{line}\n"))
            })
        };
        let slow = Box::pin(lines(5)).into_async_read();
        assert_eq!(whole(slow).await, "0\n1\n2\n3\n4\n");
        let silent = Box::pin(lines(1).chain(stream::pending())).into_async_read();
        let said = "0\n\n--- cannot read the rest: nothing more came within 10.0 s ---\n";
        assert_eq!(whole(silent).await, said);
        let broken = lines(1).chain(stream::iter([Err(std::io::Error::other("reset"))]));
        let said = "0\n\n--- cannot read the rest: reset ---\n";
        assert_eq!(whole(Box::pin(broken).into_async_read()).await, said);
    }
}
