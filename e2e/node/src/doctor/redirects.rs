//! Experiments with redirects: the app behind one that a kubelet does not follow, loops, and targets that fail.

use std::net::IpAddr;

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::{Kind, Observation},
};

use super::{
    Found,
    differences::{SAID_TLS, of_this_host, with_host},
    fix::Change,
    lab::{Experiment, Lab},
    path::{of_this_path, with_headers, with_these},
    place::{from_sources, of_loopback},
    words::reason,
};
use crate::{
    http::{Route, Url},
    probe::Prepared,
};

impl Lab<'_> {
    /// A redirect to another host is a success to a kubelet. Asked under that host, the app may be broken.
    pub(super) async fn redirect_that_hides(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        observation.warning.as_ref()?;
        let there = prepared.url.join(observation.header("location")?).ok()?.url;
        // Another path may be a page of another app, for example of one that signs users in.
        if there.target != prepared.request.target {
            return None;
        }
        let asked = with_host(prepared, &there.authority());
        let change = format!("the probe where the redirect leads, with Host {}", there.authority());
        let experiment = Experiment::new(change, asked.clone());
        let behind = self.ask(experiment.clone()).await?;
        // Another redirect tells nothing about the app behind it, and a refusal may be that of an app which does not serve this host.
        if behind.success() || behind.status.is_some_and(|status| status < 500) {
            return None;
        }
        let stranger = self.stranger(prepared, &there.authority());
        let unknown = self.ask(stranger).await?;
        if (unknown.kind, unknown.status) == (behind.kind, behind.status) {
            return None;
        }
        // There the app is asked behind TLS, without which it may refuse.
        if there.is_tls() && !prepared.url.is_tls() {
            let secured = with_headers(&asked, &[SAID_TLS]);
            let change = format!("{} and {}: {}", experiment.change, SAID_TLS.0, SAID_TLS.1);
            if self.ask(Experiment::new(change, secured)).await?.success() {
                return None;
            }
        }
        let explanation = format!(
            "the answer is a redirect to {there}, which a kubelet counts as a success without following it, but \
             the app behind it fails ({})",
            behind.outcome()
        );
        let flip = Flip::new(Axis::Host, &prepared.request.host, there.authority());
        let changes = vec![Change::Host(there.authority())];
        self.prove_flip(Cause::RedirectElsewhere, flip, explanation, changes, experiment).await
    }

    /// Each answer is a redirect to the same host. Another Host, or a proxy's header that reports TLS, may end the loop.
    pub(super) async fn redirect_in_a_circle(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let cause = Cause::RedirectElsewhere;
        let mut targets = observation.followed.clone();
        targets.sort();
        targets.dedup();
        let what = match (observation.followed.len(), observation.redirects) {
            (_, 0) => format!("a redirect cannot be followed: {}", reason(&observation.message)),
            (all, followed) if targets.len() < all => format!("the redirects form a loop ({followed} followed)"),
            (_, followed) => {
                format!("the redirects do not end within the ten that a kubelet follows ({followed} followed)")
            }
        };
        let told = |how: &str| format!("{what}{how}");
        for host in self.hosts(prepared).into_iter().take(2) {
            let experiment = of_this_host(prepared, &host, None);
            if self.ask(experiment.clone()).await?.answered() {
                let explanation = told(&format!(" for Host {}", prepared.request.host));
                let flip = Flip::new(Axis::Host, &prepared.request.host, &host);
                return self.prove_flip(cause, flip, explanation, vec![Change::Host(host)], experiment).await;
            }
        }
        let all_lead_to_tls = observation.followed.iter().all(|url| url.starts_with("https://"));
        let cause = if all_lead_to_tls { Cause::RedirectToHttps } else { cause };
        return_first!(self.said_to_speak_tls(prepared, cause, told(" without a header that reports TLS")));
        self.keeps_failing().await.then(|| Found::of_everyone(Cause::RedirectElsewhere, told("")))
    }

    /// The redirect's target fails.
    pub(super) async fn redirect_to_nothing(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let first = observation.followed.first()?.clone();
        let last = prepared.url.join(observation.followed.last()?).ok()?.url;
        let (asked, scheme) = (&prepared.request.target, &prepared.url.scheme);
        let goes_on = format!("GET {asked} is redirected to {first}");
        // The app may only want another path, for example with a trailing slash.
        if last.target != *asked {
            let experiment = of_this_path(prepared, &last.target);
            if self.ask(experiment.clone()).await?.answered() {
                let fails = outcome(observation);
                let text = format!("{goes_on}, where {fails}; the app answers {} directly", last.target);
                let flip = Flip::new(Axis::Path, asked, &last.target);
                let changes = vec![Change::Path(last.target)];
                return self.prove_flip(Cause::MethodOrPath, flip, text, changes, experiment).await;
            }
        }
        let changes_scheme = observation.followed.iter().any(|url| !url.starts_with(&format!("{scheme}://")));
        if !changes_scheme {
            return None;
        }
        let text = format!("{goes_on}, unless a header reports TLS");
        return_first!(self.said_to_speak_tls(prepared, Cause::RedirectToHttps, text));
        if !self.leads_to_tls() {
            return None;
        }
        // The redirect's own port has had its chance.
        for (port, address) in self.other_ports().into_iter().filter(|(port, _)| *port != last.port()) {
            let url = Url { explicit_port: Some(port), ..prepared.url.over_tls(true) };
            let there = Prepared { url, route: Route::to(address), ..prepared.clone() };
            return_first!(self.of_place(prepared, &there, observation));
        }
        let is_dead_end = match observation.kind {
            Kind::Refused | Kind::Unreachable | Kind::Unsupported | Kind::Tls => true,
            // Behind a handshake, it is the app that does not answer.
            Kind::Timeout | Kind::Closed | Kind::Reset => observation.tls_ms.is_none(),
            _ => false,
        };
        let last = observation.followed.last().filter(|last| last.starts_with("https://") && is_dead_end)?;
        let text = format!("GET {asked} is redirected to {last}, where {}", outcome(observation));
        let found = Found::of_everyone(Cause::RedirectToHttps, text);
        match observation.kind {
            // Its listener may be about to start.
            Kind::Refused => self.unless_it_starts(found, false).await,
            _ => self.keeps_failing().await.then_some(found),
        }
    }

    /// A proxy's header that reports that the client spoke TLS.
    async fn said_to_speak_tls(&mut self, prepared: &Prepared, cause: Cause, explanation: String) -> Option<Found> {
        let (name, value) = SAID_TLS;
        let experiment = with_these(prepared, &[SAID_TLS]);
        if !self.ask(experiment.clone()).await?.answered() {
            return None;
        }
        let flip = Flip::new(Axis::Headers, format!("no {name}"), format!("{name}: {value}"));
        if let Some(address) = self.is_doubted(prepared).await {
            let text = format!(
                "{explanation}; the app ignores it from {address}, so it believes only some addresses, and a kubelet's may be another"
            );
            return self.prove_flip(cause, flip, text, Vec::new(), experiment).await;
        }
        self.prove_flip(cause, flip, explanation, vec![Change::header(name, value)], experiment).await
    }

    /// The loopback address from which the app does not believe a header of proxies: many believe the usual one, which no kubelet has.
    async fn is_doubted(&mut self, prepared: &Prepared) -> Option<IpAddr> {
        let secured = with_headers(prepared, &[SAID_TLS]);
        let (source, elsewhere) = from_sources(&secured).next().filter(|_| of_loopback(&secured))?;
        let change = format!("{} with {}: {}", elsewhere.change, SAID_TLS.0, SAID_TLS.1);
        let elsewhere = Experiment { change, ..elsewhere };
        // The redirect that follows may lead to silence.
        self.deadline += self.timeout();
        self.ask(elsewhere).await.is_some_and(|answer| !answer.answered()).then_some(source)
    }
}

/// The outcome of a chain's last request, as a clause.
fn outcome(observation: &Observation) -> String {
    match observation.kind {
        Kind::Refused => "nothing listens".to_owned(),
        Kind::Unsupported => "the pod has no such port".to_owned(),
        Kind::Timeout => "the request times out".to_owned(),
        Kind::Tls if observation.tls_alert.is_none() => "the port does not speak TLS".to_owned(),
        Kind::Closed | Kind::Reset => "the connection is closed without an answer".to_owned(),
        _ => observation.outcome(),
    }
}
