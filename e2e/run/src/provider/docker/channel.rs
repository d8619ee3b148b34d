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
use crate::{
    image::orders::{FILL, HOLD, NAMES, RELEASE, RULES},
    provider::Error,
};

/// How long a sandbox may take to carry out an order; most take a millisecond, and a volume of a gigabyte a second.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The kernel refuses, in its words.
    #[error("{0}")]
    Kernel(String),
    /// No answer yet; the next order waits for it first.
    #[error("the sandbox did not answer within {} s", ORDER_TIMEOUT.as_secs())]
    Late,
    /// Nothing can be said to this sandbox any more.
    #[error("{0}")]
    Ended(String),
}

/// A sandbox answers each order once, in their sequence. An order whose future is dropped, or that is late, still owes its answer.
pub(super) struct Channel {
    attached: AttachContainerResults,
    /// What was received of answers.
    received: Vec<u8>,
    /// Answers to orders that nobody waits for.
    owed: usize,
    /// A part of an order was written, or the sandbox has ended.
    is_broken: bool,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

impl Channel {
    pub(super) async fn open(engine: &Engine, pod: &str, id: &str) -> Result<Self, Error> {
        let options = AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stream(true).build();
        let attached = engine.client.attach_container(id, Some(options)).await;
        attached.map(Self::new).map_err(|error| Error::engine("attach to the sandbox of", pod, error))
    }

    fn new(attached: AttachContainerResults) -> Self {
        Self { attached, received: Vec::new(), owed: 0, is_broken: false }
    }

    /// Makes the rules of the pod's network equal to these, or leaves them as they are.
    pub(super) async fn rules(&mut self, rules: &Rules) -> Result<(), Refusal> {
        if !rules.delay() {
            return self.order(RULES, &nft::batch(rules, Queue::Expression)).await;
        }
        let missing = |what: &'static str| {
            move |refusal| match refusal {
                Refusal::Kernel(reason) => Refusal::Kernel(format!("{what} refuses: {reason}")),
                other => other,
            }
        };
        self.order(HOLD, &queue::listen()).await.map_err(missing("the kernel's nfnetlink_queue"))?;
        match self.order(RULES, &nft::batch(rules, Queue::Expression)).await {
            Err(Refusal::Kernel(_)) => {
                let target = nft::batch(rules, Queue::Target);
                self.order(RULES, &target).await.map_err(missing("the kernel's nft_queue, like its xt_NFQUEUE,"))
            }
            other => other,
        }
    }

    /// Writes `/etc/hosts` of the pod's containers.
    pub(super) async fn names(&mut self, text: &str) -> Result<(), Refusal> {
        self.order(NAMES, text.as_bytes()).await
    }

    /// Takes all that is left of the volume that the sandbox has at a path, until [`Self::release`] with the same number.
    pub(super) async fn fill(&mut self, number: u32, path: &str) -> Result<(), Refusal> {
        self.order(FILL, &[&number.to_le_bytes(), path.as_bytes(), &[0]].concat()).await
    }

    pub(super) async fn release(&mut self, number: u32) -> Result<(), Refusal> {
        self.order(RELEASE, &number.to_le_bytes()).await
    }

    /// Has the sandbox carry out an order.
    async fn order(&mut self, kind: u32, content: &[u8]) -> Result<(), Refusal> {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let order = [&kind.to_le_bytes(), &length.to_le_bytes(), content].concat();
        let carried_out = async {
            self.write(&order).await?;
            self.answer().await
        };
        tokio::time::timeout(ORDER_TIMEOUT, carried_out).await.unwrap_or(Err(Refusal::Late))
    }

    /// Writes an order whole. One that was cut off leaves the sandbox waiting for the rest of it.
    async fn write(&mut self, order: &[u8]) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::Ended("the connection to the sandbox is broken".to_owned()));
        }
        self.is_broken = true;
        let failed = |error: std::io::Error| Refusal::Ended(error.to_string());
        self.attached.input.write_all(order).await.map_err(failed)?;
        self.attached.input.flush().await.map_err(failed)?;
        self.is_broken = false;
        self.owed += 1;
        Ok(())
    }

    /// The answer to the last order, after those that are owed to earlier ones.
    async fn answer(&mut self) -> Result<(), Refusal> {
        loop {
            while let Some((answer, rest)) = self.received.split_first_chunk() {
                let error = i32::from_le_bytes(*answer);
                self.received = rest.to_vec();
                self.owed -= 1;
                match (self.owed, error) {
                    (0, 0) => return Ok(()),
                    (0, error) => return Err(Refusal::Kernel(std::io::Error::from_raw_os_error(error).to_string())),
                    _ => {}
                }
            }
            let ended = match self.attached.output.next().await {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.received.extend(message);
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => error.to_string(),
                None => "the sandbox has ended".to_owned(),
            };
            self.is_broken = true;
            return Err(Refusal::Ended(ended));
        }
    }
}

#[cfg(test)]
impl Channel {
    /// A sandbox that gives these answers, whatever it is asked, and ends. Its orders can be read from the other value.
    pub(super) fn answering(answers: impl Iterator<Item = i32> + Send + 'static) -> (Self, tokio::io::DuplexStream) {
        let message = |answer: i32| LogOutput::StdOut { message: answer.to_le_bytes().to_vec().into() };
        Self::with(futures_util::stream::iter(answers).map(message), 64 * 1024)
    }

    fn with(
        answers: impl futures_util::Stream<Item = LogOutput> + Send + 'static,
        room: usize,
    ) -> (Self, tokio::io::DuplexStream) {
        let (input, orders) = tokio::io::duplex(room);
        (Self::new(AttachContainerResults { output: Box::pin(answers.map(Ok)), input: Box::pin(input) }), orders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_answer_to_an_order_that_was_given_up_is_not_the_next_ones() {
        let (answers, receiver) = tokio::sync::mpsc::unbounded_channel::<i32>();
        let receiver = futures_util::stream::unfold(receiver, async |mut receiver| {
            let answer: i32 = receiver.recv().await?;
            Some((LogOutput::StdOut { message: answer.to_le_bytes().to_vec().into() }, receiver))
        });
        let (mut channel, _orders) = Channel::with(receiver, 1024);
        tokio::time::timeout(SHORT, channel.names("a")).await.expect_err("there is no answer yet");
        // EIO for the one that was given up.
        [5, 0].into_iter().for_each(|answer| answers.send(answer).expect("a channel"));
        assert_eq!(channel.names("b").await, Ok(()));
        answers.send(5).expect("a channel");
        assert!(matches!(channel.names("c").await, Err(Refusal::Kernel(reason)) if reason.contains("error 5")));
    }

    #[tokio::test]
    async fn nothing_follows_an_order_that_was_cut_off() {
        let (mut channel, _orders) = Channel::with(futures_util::stream::pending(), 4);
        tokio::time::timeout(SHORT, channel.names("a")).await.expect_err("there is no room for it");
        assert!(matches!(channel.names("b").await, Err(Refusal::Ended(_))));
    }
}
