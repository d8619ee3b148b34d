//! Experiments with redirects: what is behind one that a kubelet does not follow, and why one leads in a circle.

use e2e_kubelet::{
    diagnosis::{Axis, Cause, Flip},
    observation::Observation,
};

use super::{Found, differences::with_host, fix::Change, lab::Lab};
use crate::probe::Prepared;

impl Lab<'_> {
    /// A redirect to another host is a success to a kubelet. Asked under that host, the app may be broken.
    pub(super) async fn redirect_that_hides(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        observation.warning.as_ref()?;
        let location = observation.headers.iter().find(|header| header.name.eq_ignore_ascii_case("location"))?;
        let there = prepared.url.join(&location.value).ok()?.url;
        let mut asked = with_host(prepared, &there.authority());
        asked.request.target.clone_from(&there.target);
        asked.url.target.clone_from(&there.target);
        let change = format!("the probe where the redirect leads, with Host {}", there.authority());
        let behind = self.send(&change, asked.clone()).await?;
        if behind.success() || self.send(&change, asked).await?.success() {
            return None;
        }
        let explanation = format!(
            "the answer is a redirect to {there}, which a kubelet does not follow and counts as a success, and the app behind it \
             fails ({})",
            behind.outcome()
        );
        let flip = Flip { axis: Axis::Host, from: prepared.request.host.clone(), to: there.authority() };
        let change = Some(Change::Host(there.authority()));
        let cause = Cause::RedirectElsewhere;
        Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change })
    }

    /// Each answer is a redirect to the same host. Another Host, or the word of a proxy that the client spoke TLS, may end it.
    pub(super) async fn redirect_in_a_circle(
        &mut self,
        prepared: &Prepared,
        observation: &Observation,
    ) -> Option<Found> {
        let cause = Cause::RedirectElsewhere;
        let told = |how: &str| format!("the redirects lead in a circle{how} ({} were followed)", observation.redirects);
        for host in self.hosts(prepared).into_iter().take(2) {
            let changed = with_host(prepared, &host);
            if self.flips(&format!("the probe with Host {host}"), &changed).await {
                let explanation = told(&format!(" for Host {}", prepared.request.host));
                let flip = Flip { axis: Axis::Host, from: prepared.request.host.clone(), to: host.clone() };
                let change = Some(Change::Host(host));
                return Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change });
            }
        }
        let mut changed = prepared.clone();
        changed.request.set("X-Forwarded-Proto", "https".to_owned());
        if self.flips("the probe with X-Forwarded-Proto: https", &changed).await {
            let explanation = told(" for a client that is not said to speak TLS");
            let to = "X-Forwarded-Proto: https".to_owned();
            let flip = Flip { axis: Axis::Headers, from: "no X-Forwarded-Proto".to_owned(), to };
            let change = Some(Change::Header { name: "X-Forwarded-Proto".into(), value: "https".into() });
            return Some(Found { cause, flip: Some(flip), confirmed: true, explanation, change });
        }
        Some(Found { cause, flip: None, confirmed: false, explanation: told(""), change: None })
    }
}
