//! SIGINT and SIGTERM: of a run, and of whatever else cleans up before it exits. Main types: [`Signal`], [`Interrupts`].

use std::time::Duration;

use e2e_plan::target::Target;
use tokio::signal::unix::{self, SignalKind, signal};

use super::{Error, prepared::Prepared};

/// Catches both signals from its construction on; the holder reacts to them.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Interrupts {
    /// Installs the handlers. Call it inside a tokio runtime.
    pub fn install() -> Result<Self, Error> {
        let of = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// Waits for either signal.
    pub async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Grace period after a second Ctrl-C for requests to a cluster: a healthy one answers in a tenth of this.
const IN_A_HURRY: Duration = Duration::from_secs(2);

/// Counts SIGINT and SIGTERM from its installation on.
pub(super) struct Signal {
    received: tokio::sync::watch::Receiver<u32>,
}

impl Signal {
    pub(super) fn install() -> Result<Self, Error> {
        let mut interrupts = Interrupts::install()?;
        let (sender, received) = tokio::sync::watch::channel(0);
        tokio::spawn(async move {
            loop {
                interrupts.recv().await;
                sender.send_modify(|received| *received += 1);
            }
        });
        Ok(Self { received })
    }

    /// The work's result, or `None` if a signal came first.
    pub(super) async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.received(1) => None,
            result = work => Some(result),
        }
    }

    /// The work's result, or the error of a run that a signal ended.
    pub(super) async fn or_interrupted<T>(
        &self,
        prepared: &Prepared,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        self.unless_interrupted(work).await.ok_or_else(|| prepared.interrupted())
    }

    /// The result of work that a single signal must not cut short, or `None` if a second one ended the wait for a cluster, which
    /// completes the work without this process. On other targets later signals are ignored, since only this process can remove
    /// what it started.
    pub(super) async fn unless_interrupted_twice<T>(
        &self,
        prepared: &Prepared,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        if prepared.target() != Target::K8s {
            return Some(work.await);
        }
        let begun = tokio::time::Instant::now();
        let insists = async {
            self.received(2).await;
            tokio::time::sleep_until(begun + IN_A_HURRY).await;
        };
        tokio::select! {
            biased;
            () = insists => None,
            result = work => Some(result),
        }
    }

    /// Ready after this many signals.
    async fn received(&self, signals: u32) {
        let mut received = self.received.clone();
        // The sender lives as long as the process.
        let _ = received.wait_for(|received| *received >= signals).await;
    }
}
