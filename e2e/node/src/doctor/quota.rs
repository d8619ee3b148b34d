//! A rate limit that looks like another cause: the probe has used up its quota, and a changed request has one of its own. Main function:
//! [`Lab::newcomer`]. A part of [`Lab`].

use std::{fmt, time::Duration};

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::Observation,
};
use tokio::time::{Instant, sleep};

use super::{
    Claim, Found,
    differences::{of_this_host, similar},
    lab::{Experiment, Lab},
    path::{UNSERVED, of_this_path, with_unlisted_query},
    place::{OTHER_SOURCES, from_sources, from_strangers, of_loopback},
    rounds::STARTED,
    stranger::may_name_a_client,
};
use crate::probe::Prepared;

/// The pause between the tries to be accepted by a limit that others share: a few hundred in the time there is.
const RETRY: Duration = Duration::from_millis(20);

/// A quota of up to so many requests is used up to see it.
const QUOTA: usize = 110;

/// Whether a client that has sent nothing yet, and is otherwise like the probe, is refused like it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Newcomer {
    /// It is: a rule, not a quota. `None` for a cause that no quota looks like.
    Refused(Option<Experiment>),
    /// It is not: a quota, or a rule about the probe's very value.
    Accepted,
    /// No such client could be sent.
    Unknown,
}

impl Lab<'_> {
    /// Sends the probe as clients that have used up nothing, until one is refused like it.
    pub(super) async fn newcomer(&mut self, found: &Found) -> Newcomer {
        let Some(prepared) = self.prepared.clone() else { return Newcomer::Refused(None) };
        let Some(newcomers) = newcomers(found, &prepared) else { return Newcomer::Refused(None) };
        let mut seen = Newcomer::Unknown;
        for newcomer in newcomers {
            let Some(answer) = self.ask(newcomer.clone()).await else { break };
            let first = &self.tried[0].first;
            if (answer.kind, answer.status) == (first.kind, first.status) {
                return Newcomer::Refused(Some(newcomer));
            }
            if answer.answered() {
                seen = Newcomer::Accepted;
            }
        }
        seen
    }

    /// Proves a claim about a header with other values of it, too: all of them are accepted, or none is. What picks one of two replicas by the
    /// header accepts half of them.
    pub(super) async fn prove_for_other_values(&mut self, found: Found, with: Experiment) -> Option<Found> {
        let sent = with.http()?;
        let own = self.prepared.as_ref().map_or(&[][..], |prepared| &prepared.request.headers);
        let is_new = |header: &&(String, String)| !own.contains(header) && may_name_a_client(&header.0);
        let names: Vec<&str> = sent.request.headers.iter().filter(is_new).map(|(name, _)| name.as_str()).collect();
        let change = format!("the probe with other values of {}", names.join(" and "));
        let others = Experiment::of_strangers(Axis::Headers, &change, sent);
        let mut claim = Claim::of(found, with.clone());
        if !names.is_empty() {
            // The patch is this very request, so the one that is reserved for its check is free.
            self.allowance += 1;
            match self.ask(others.clone()).await?.answered() {
                true => claim.succeeds.push(others),
                false => claim.fails.push(others),
            }
        }
        self.prove(claim).await
    }

    /// What is left of a claim that has held: the claim, proven if a newcomer was refused; the rate limit that it turns out to be; or
    /// nothing.
    pub(super) async fn unless_limited(&mut self, found: Found, newcomer: &Newcomer, succeeds: usize) -> Option<Found> {
        let found = match newcomer {
            Newcomer::Refused(None) => Some(Found { confirmed: true, ..found }),
            _ if !self.outlasts_a_quota(succeeds).await => self.of_a_quota(succeeds).await,
            Newcomer::Refused(Some(_)) => Some(Found { confirmed: true, ..found }),
            Newcomer::Accepted => None,
            Newcomer::Unknown => Some(found),
        }?;
        if says_refused(&found) && !is_refusal(&self.tried[0].first) {
            let change = &self.tried[succeeds].experiment.change;
            self.remark_another_answers(format!(
                "is no refusal of the request; {change} succeeds, perhaps from another backend or a cache"
            ));
            return None;
        }
        Some(found)
    }

    /// Whether a 404 or 405 may come from a cache, or from one of several backends, and not from the app that serves the path: with a query that no app
    /// knows, the same path succeeds.
    pub(super) async fn is_of_a_cache(&mut self, prepared: &Prepared, observation: &Observation) -> bool {
        if is_stored(observation) {
            self.remark_another_answers("comes from a cache: the response has an Age");
            return true;
        }
        let target = with_unlisted_query(&prepared.request.target);
        let answered = self.ask(of_this_path(prepared, &target)).await.is_some_and(|answer| answer.answered());
        if answered {
            self.remark_another_answers(format!(
                "may come from a cache or from another backend: the path {target} succeeds"
            ));
        }
        answered
    }

    /// The app itself may not have answered the probe.
    fn remark_another_answers(&mut self, how: impl fmt::Display) {
        let text = format!("the probe gets {}, which {how}", self.tried[0].first.outcome());
        let advice = "find out from the log of the app, or of a proxy in front of it, who answers the probe, and why";
        self.remark = Some((text, advice));
    }

    /// Whether 429 means a limit of the rate: it says when the next request is accepted (RFC 6585, section 4), or a client with another
    /// address is accepted. Some apps mean their state, for example a standby.
    pub(super) async fn is_of_a_limit(&mut self, prepared: &Prepared, observation: &Observation) -> bool {
        let is_of_rates =
            |name: &str| name.eq_ignore_ascii_case("retry-after") || name.to_ascii_lowercase().contains("ratelimit");
        if observation.headers.iter().any(|header| is_of_rates(&header.name)) {
            return true;
        }
        match from_sources(prepared).next() {
            Some((_, newcomer)) => self.ask(newcomer).await.is_some_and(|answer| answer.answered()),
            None => false,
        }
    }

    /// An app that means its state answers 429 to one path, a limit in front of all paths to those that no app serves, too.
    pub(super) async fn limit_of_every_path(&mut self) -> Option<Found> {
        let prepared = self.prepared.clone()?;
        let elsewhere = self.ask(of_this_path(&prepared, UNSERVED)).await?;
        let path = &prepared.url.target;
        let text = format!(
            "GET {path}, like a path that no app serves, returns 429 to every client: the app limits the request rate"
        );
        (elsewhere.status == Some(429)).then(|| Found::of_everyone(Cause::RateLimited, text))
    }

    /// A limit that all clients share accepts a request again once some time has passed, an app that means its state does not. Asks for
    /// nothing at first, then often, since others may be quicker.
    pub(super) async fn wait_for_a_quota(&mut self) {
        self.deadline += self.timeout() * 4;
        let mut pause = self.left() / 3;
        while self.wavering.is_none() && self.left() > self.timeout() + pause {
            sleep(pause).await;
            pause = RETRY;
            self.repeat(0).await;
        }
    }

    /// Every request of this client gets 429.
    pub(super) async fn of_a_limit(&mut self, prepared: &Prepared) -> Option<Found> {
        let path = &prepared.url.target;
        let whose = if self.another_client_succeeded() { "this address" } else { "every client" };
        let text = format!("GET {path} returns 429 to {whose}: the app limits the request rate");
        self.keeps_failing().await.then(|| Found::of_everyone(Cause::RateLimited, text))
    }

    /// Another address was accepted. It is a limit of each address if this one is soon refused, too, and every new one is accepted.
    pub(super) async fn only_the_first(&mut self, prepared: &Prepared, accepted: &Experiment) -> Option<Found> {
        if !of_loopback(prepared) {
            return None;
        }
        let mut count = 1;
        // Not a repeat: that it comes out differently is no sign of chance here.
        while self.exchange(&accepted.sends, self.timeout()).await.answered() {
            count += 1;
            if count >= STARTED {
                return None;
            }
        }
        let strangers = from_strangers(prepared);
        if !self.ask(strangers.clone()).await?.answered() {
            return None;
        }
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let text = format!("the app accepts each address {times} and then refuses it like the probe");
        let flip = Flip::new(Axis::Source, "an address that has sent requests", "one that has sent none");
        self.prove_flip(Cause::RateLimited, flip, text, Vec::new(), strangers).await
    }

    /// A limit, if a request that differs only by chance from the probe succeeds until its quota is used up.
    pub(super) async fn by_its_quota(&mut self, experiment: &Experiment) -> Option<Found> {
        let index = self.index_of(&experiment.sends)?;
        let is_limited = !self.outlasts_a_quota(index).await;
        // Nothing but its own series tells this request from one that fails at random.
        if is_limited && self.tried[index].succeeded() >= STARTED { self.of_a_quota(index).await } else { None }
    }

    /// Repeats the request that succeeds, unless its answers are slow: a quota that it has for itself runs out, a rule about it does
    /// not.
    async fn outlasts_a_quota(&mut self, index: usize) -> bool {
        let end = Instant::now() + self.left() / 2;
        while self.tried[index].series.len() < QUOTA && Instant::now() < end {
            if !self.repeat(index).await.answered() {
                return false;
            }
        }
        true
    }

    /// The request succeeded and then failed like the probe: its quota is used up, if it stays so.
    async fn of_a_quota(&mut self, index: usize) -> Option<Found> {
        let accepted = self.tried[index].succeeded();
        let status = self.tried[0].first.status?;
        for _ in 0..STARTED {
            let answer = self.repeat(index).await;
            if answer.answered() || answer.status != Some(status) {
                return None;
            }
        }
        let change = &self.tried[index].experiment.change;
        let text =
            format!("{change} succeeded {accepted} times and has been refused since, with {status} like the probe");
        Some(Found::of_everyone(Cause::RateLimited, text))
    }
}

/// Whether a cause says that the app refuses what the probe sends, or the way that it takes.
fn says_refused(found: &Found) -> bool {
    let is_path = found.flip.as_ref().is_some_and(|flip| flip.axis == Axis::Path);
    match found.cause {
        Cause::MissingHeader => !is_path,
        Cause::HostAllowList
        | Cause::HostSyntax
        | Cause::HeaderRefused
        | Cause::SourceBlocked
        | Cause::PlainToTls
        | Cause::TlsToPlain => true,
        _ => false,
    }
}

/// Whether a failure may be a refusal of the request, and not the state of a backend that another request does not reach: a proxy
/// sends that one elsewhere, or answers it from a cache.
fn is_refusal(observation: &Observation) -> bool {
    !matches!(observation.status, Some(408 | 425 | 429 | 502 | 503 | 504)) && !is_stored(observation)
}

/// Whether a cache has answered with what it stored earlier (RFC 9111, section 5.1).
fn is_stored(observation: &Observation) -> bool {
    observation.header("age").and_then(|age| age.trim().parse().ok()).is_some_and(|seconds: u64| seconds > 0)
}

/// The probe as sent by clients that have used up nothing, and with what the cause is about; `None` for a cause that no quota looks like.
/// Limits count by address, `Host`, `User-Agent`, or the value of a header.
fn newcomers(found: &Found, prepared: &Prepared) -> Option<Vec<Experiment>> {
    let axis = found.flip.as_ref().map(|flip| flip.axis);
    Some(match (found.cause, axis) {
        (Cause::HostSyntax, _) => vec![of_this_host(prepared, &similar(&prepared.request.host), None)],
        (Cause::SourceBlocked, _) if of_loopback(prepared) => vec![from_strangers(prepared)],
        (Cause::SourceBlocked | Cause::MissingHeader, _) => {
            let claimed = found.flip.as_ref().map(|flip| flip.to.clone());
            // Not the one that the claim is about.
            let others =
                from_sources(prepared).take(OTHER_SOURCES).filter(|(source, _)| Some(source.to_string()) != claimed);
            others.map(|(_, newcomer)| newcomer).collect()
        }
        (Cause::HeaderRefused, Some(axis @ Axis::UserAgent)) => {
            let of = prepared.request.user_agent.as_deref()?;
            vec![Experiment::of_strangers(axis, &format!("the probe with other versions of {of}"), prepared)]
        }
        (Cause::HeaderRefused, Some(axis @ Axis::Headers)) => {
            if !prepared.request.headers.iter().any(|(name, _)| may_name_a_client(name)) {
                return None;
            }
            vec![Experiment::of_strangers(axis, "the probe with other values of its headers", prepared)]
        }
        _ => return None,
    })
}
