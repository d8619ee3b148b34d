//! The connection to the program of a sandbox, and the orders that this carries out. Main type: [`Channel`].

use std::time::Duration;

use bollard::{
    container::{AttachContainerResults, LogOutput},
    query_parameters::AttachContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::{
    engine::Engine,
    nft::{self, Queue, Rules},
    queue,
};
use crate::provider::Error;

/// How long a sandbox may take to carry out an order; most take a millisecond, and a volume of a gigabyte a second.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);
/// The kinds of orders that a sandbox's program knows.
const RULES: u32 = 0;
const NAMES: u32 = 1;
const HOLD: u32 = 2;
const FILL: u32 = 3;
const RELEASE: u32 = 4;

pub(super) struct Channel(AttachContainerResults);

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

impl Channel {
    pub(super) async fn open(engine: &Engine, pod: &str, id: &str) -> Result<Self, Error> {
        let options = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stream(true).build();
        let attached = engine.client.attach_container(id, Some(options)).await;
        attached.map(Self).map_err(|error| Error::engine("attach to the sandbox of", pod, error))
    }

    /// Makes the rules of the pod's network equal to these, or leaves them as they are.
    pub(super) async fn rules(&mut self, rules: &Rules) -> Result<(), String> {
        if !rules.delay() {
            return self.order(RULES, &nft::batch(rules, Queue::Expression)).await;
        }
        let missing = |what: &'static str| move |reason: String| format!("{what} refuses: {reason}");
        self.order(HOLD, &queue::listen()).await.map_err(missing("the kernel's nfnetlink_queue"))?;
        match self.order(RULES, &nft::batch(rules, Queue::Expression)).await {
            Ok(()) => Ok(()),
            Err(_) => {
                let target = nft::batch(rules, Queue::Target);
                self.order(RULES, &target).await.map_err(missing("the kernel's nft_queue, like its xt_NFQUEUE,"))
            }
        }
    }

    /// Writes `/etc/hosts` of the pod's containers.
    pub(super) async fn names(&mut self, text: &str) -> Result<(), String> {
        self.order(NAMES, text.as_bytes()).await
    }

    /// Takes all that is left of the volume that the sandbox has at a path, until [`Self::release`] with the same number.
    pub(super) async fn fill(&mut self, number: u32, path: &str) -> Result<(), String> {
        self.order(FILL, &[&number.to_le_bytes(), path.as_bytes(), &[0]].concat()).await
    }

    pub(super) async fn release(&mut self, number: u32) -> Result<(), String> {
        self.order(RELEASE, &number.to_le_bytes()).await
    }

    /// Has the sandbox carry out an order. The reason is in the kernel's words.
    async fn order(&mut self, kind: u32, content: &[u8]) -> Result<(), String> {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let order = [&kind.to_le_bytes(), &length.to_le_bytes(), content].concat();
        let carried_out = async {
            self.0.input.write_all(&order).await.map_err(|error| error.to_string())?;
            self.0.input.flush().await.map_err(|error| error.to_string())?;
            let mut answer = Vec::new();
            while answer.len() < 4 {
                match self.0.output.next().await {
                    Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => answer.extend(message),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                    None => return Err("the sandbox has ended".to_owned()),
                }
            }
            match answer.first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) {
                Some(0) | None => Ok(()),
                Some(error) => Err(std::io::Error::from_raw_os_error(error).to_string()),
            }
        };
        tokio::time::timeout(ORDER_TIMEOUT, carried_out)
            .await
            .unwrap_or_else(|_| Err("the sandbox did not answer".to_owned()))
    }
}
