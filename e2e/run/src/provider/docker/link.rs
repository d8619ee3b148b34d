//! A connection to one sandbox, which tells it of every change of the Services and of what lies between pods until it is dropped.
//! Main type: [`Link`].

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;

use super::{
    channel::{Channel, Refusal},
    engine::Engine,
    nft::{Obstacle, Rules},
    services::Services,
};
use crate::provider::Error;

/// A connection to a sandbox, which follows every change until it is dropped or the sandbox has ended.
#[derive(Debug)]
pub(super) struct Link {
    told: Arc<Mutex<Told>>,
    _follower: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Told {
    pod: String,
    channel: Channel,
    rules: Rules,
    names: String,
}

impl Link {
    /// Brings the Services into the network of a pod with this sandbox, and goes on to do so with every change.
    pub(super) async fn open(
        engine: &Engine,
        services: &Arc<Services>,
        pod: &str,
        id: &str,
        ip: IpAddr,
    ) -> Result<Self, Error> {
        let channel = Channel::open(engine, pod, id).await?;
        if let IpAddr::V4(ip) = ip {
            services.set_address(pod, ip);
        }
        let mut changes = services.changes();
        let mut told = Told::nothing(pod, channel);
        // What fails shows in `without_addresses`, or to who disturbs.
        let mut last = told.tell(services).await;
        let told = Arc::new(Mutex::new(told));
        let (services, followed) = (Arc::clone(services), Arc::clone(&told));
        // One that is late is told again, one that has ended is left alone.
        let follower = tokio::spawn(async move {
            while !matches!(last, Err(Refusal::Ended(_))) {
                if !matches!(last, Err(Refusal::Late)) && changes.changed().await.is_err() {
                    return;
                }
                last = followed.lock().await.tell(&services).await;
            }
        });
        Ok(Self { told, _follower: AbortOnDropHandle::new(follower) })
    }

    /// Has the sandbox know of every change so far.
    ///
    /// # Errors
    ///
    /// What stands in the way of disturbances, in the kernel's words.
    pub(super) async fn tell(&self, services: &Services) -> Result<(), String> {
        self.told().await.tell(services).await.map_err(text)
    }

    /// Has an obstacle made and removed again, in the way of nobody.
    pub(super) async fn try_obstacle(&self, delay: Option<Duration>) -> Result<(), String> {
        let Told { channel, rules, .. } = &mut *self.told().await;
        let obstacles = vec![Obstacle { from: Ipv4Addr::UNSPECIFIED, delay }];
        channel.rules(&Rules { obstacles, ..rules.clone() }).await.map_err(text)?;
        channel.rules(rules).await.map_err(text)
    }

    /// Takes all that is left of a volume.
    pub(super) async fn fill(&self, number: u32, path: &str) -> Result<(), String> {
        self.told().await.channel.fill(number, path).await.map_err(text)
    }

    /// Gives it back.
    pub(super) async fn release(&self, number: u32) -> Result<(), String> {
        self.told().await.channel.release(number).await.map_err(text)
    }

    async fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().await
    }
}

impl Told {
    fn nothing(pod: &str, channel: Channel) -> Self {
        Self { pod: pod.to_owned(), channel, rules: Rules::default(), names: String::new() }
    }

    /// Tells what has not been told yet. A refusal by the kernel is about disturbances.
    async fn tell(&mut self, services: &Services) -> Result<(), Refusal> {
        let now = services.now();
        let rules = services.rules(&self.pod, &now);
        let disturbed = match services.without_addresses() {
            Some(reason) if !rules.obstacles.is_empty() => Err(Refusal::Kernel(reason.to_owned())),
            None if rules != self.rules => match self.channel.rules(&rules).await {
                Ok(()) => {
                    self.rules = rules;
                    Ok(())
                }
                // That one of the pods has ended or is late says nothing of the others.
                Err(Refusal::Kernel(reason)) if rules.obstacles.is_empty() => {
                    services.give_up_addresses(reason);
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            },
            _ => Ok(()),
        };
        if matches!(disturbed, Err(Refusal::Late | Refusal::Ended(_))) {
            return disturbed;
        }
        let names = services.hosts(&self.pod, &now);
        if names != self.names {
            match self.channel.names(&names).await {
                Ok(()) => self.names = names,
                Err(Refusal::Kernel(_)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        disturbed
    }
}

fn text(refusal: Refusal) -> String {
    refusal.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{
        pods,
        testing::{deployment, plan, service},
    };

    /// What a sandbox has to say to the first of its orders.
    async fn told(services: &Services, answer: Option<i32>) -> Result<(), Refusal> {
        let (channel, _orders) = Channel::answering(answer.into_iter());
        Told::nothing("db-0", channel).tell(services).await
    }

    #[tokio::test]
    async fn a_sandbox_that_has_ended_takes_services_from_nobody() {
        let db = deployment("db", "{ containers: [{ name: db, image: x }] }");
        let plan = plan(&[db, service("db", "db", 5432)].join("---\n"));
        let services = Services::new(&plan.services, &pods::of(&plan, "1"), Some("172.20.0.0/16"), "1");
        assert_eq!(told(&services, None).await, Err(Refusal::Ended("the sandbox has ended".to_owned())));
        assert_eq!(services.without_addresses(), None);
        // EOPNOTSUPP, for the rules; then nothing.
        assert!(matches!(told(&services, Some(95)).await, Err(Refusal::Ended(_))));
        assert!(services.without_addresses().is_some_and(|reason| reason.contains("not supported")));
    }
}
