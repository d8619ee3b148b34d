//! A connection to one sandbox, which tells it of every change of the Services and of what lies between pods until it is dropped.
//! Main type: [`Link`].

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};

use super::{
    channel::{Channel, Refusal},
    nft::{Obstacle, Rules},
    services::{Now, Services},
};

/// A connection to a sandbox, which follows every change until it is dropped or the sandbox has ended.
#[derive(Debug)]
pub(super) struct Link {
    pod: String,
    told: Arc<Mutex<Told>>,
    follower: JoinHandle<()>,
}

#[derive(Debug)]
pub(super) struct Told {
    pub(super) channel: Channel,
    pub(super) rules: Rules,
    pub(super) names: String,
}

impl Told {
    pub(super) fn nothing(channel: Channel) -> Self {
        Self { channel, rules: Rules::default(), names: String::new() }
    }
}

impl Link {
    /// Tells a sandbox all, and every change from then on.
    pub(super) async fn new(
        services: &Arc<Services>,
        pod: &str,
        channel: Channel,
        changes: watch::Receiver<Now>,
    ) -> Self {
        let told = Arc::new(Mutex::new(Told::nothing(channel)));
        // What fails shows in `without_addresses`, or to who disturbs.
        let first = services.tell(pod, &mut *told.lock().await).await;
        let follower = follow(Arc::clone(services), pod.to_owned(), Arc::clone(&told), changes, first);
        Self { pod: pod.to_owned(), told, follower: tokio::spawn(follower) }
    }

    /// Has the sandbox know of every change so far.
    ///
    /// # Errors
    ///
    /// What stands in the way of disturbances, in the kernel's words.
    pub(super) async fn tell(&self, services: &Services) -> Result<(), String> {
        services.tell(&self.pod, &mut *self.told.lock().await).await.map_err(text)
    }

    /// Has an obstacle made and removed again, in the way of nobody.
    pub(super) async fn try_obstacle(&self, delay: Option<Duration>) -> Result<(), String> {
        let Told { channel, rules, .. } = &mut *self.told.lock().await;
        let obstacles = vec![Obstacle { from: Ipv4Addr::UNSPECIFIED, delay }];
        channel.rules(&Rules { obstacles, ..rules.clone() }).await.map_err(text)?;
        channel.rules(rules).await.map_err(text)
    }

    /// Takes all that is left of a volume.
    pub(super) async fn fill(&self, number: u32, path: &str) -> Result<(), String> {
        self.told.lock().await.channel.fill(number, path).await.map_err(text)
    }

    /// Gives it back.
    pub(super) async fn release(&self, number: u32) -> Result<(), String> {
        self.told.lock().await.channel.release(number).await.map_err(text)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// Tells a sandbox of every change. One that is late is told again, one that has ended is left alone.
async fn follow(
    services: Arc<Services>,
    pod: String,
    told: Arc<Mutex<Told>>,
    mut changes: watch::Receiver<Now>,
    first: Result<(), Refusal>,
) {
    let mut last = first;
    loop {
        match last {
            Err(Refusal::Ended(_)) => return,
            Err(Refusal::Late) => {}
            Ok(()) | Err(Refusal::Kernel(_)) => {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }
        last = services.tell(&pod, &mut *told.lock().await).await;
    }
}

fn text(refusal: Refusal) -> String {
    refusal.to_string()
}
