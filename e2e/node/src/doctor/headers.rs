//! The probe fails because of its own headers: of what they say, or of their size or number. Main functions: [`Lab::of_own_headers`],
//! [`Lab::one_own_header`].

use std::cmp::Reverse;

use e2e_kubelet::diagnosis::{Axis, Cause, Flip};

use super::{
    Claim, Found,
    fix::Change,
    lab::{Experiment, Lab},
    secrets::listed,
};
use crate::probe::Prepared;

/// The headers that are left out in turn: each takes a request, and few probes have more.
const MAX_HEADERS: usize = 4;

impl Lab<'_> {
    /// One of the probe's headers makes it fail, where the app requires another one.
    pub(super) async fn one_own_header(&mut self, prepared: &Prepared) -> Option<Found> {
        let headers = &prepared.request.headers;
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        for name in names.iter().filter(|_| names.len() > 1).take(MAX_HEADERS) {
            let mut fewer = prepared.clone();
            let refused =
                fewer.request.headers.extract_if(.., |(other, _)| other.eq_ignore_ascii_case(name)).collect::<Vec<_>>();
            let experiment = Experiment::new(format!("the probe without {name}"), fewer);
            if self.ask(experiment.clone()).await?.answered() {
                let flip = Flip::new(Axis::Headers, listed(&refused), format!("no {name}"));
                let explanation = format!("the app refuses requests with {name} and accepts them without it");
                return self.of_own_headers(prepared, &refused, flip, explanation, experiment).await;
            }
        }
        None
    }

    /// The probe succeeds without some of its own headers, in `experiment`. If the app refuses what they say, it accepts others of the same
    /// size and number.
    pub(super) async fn of_own_headers(
        &mut self,
        prepared: &Prepared,
        refused: &[(String, String)],
        flip: Flip,
        explanation: String,
        experiment: Experiment,
    ) -> Option<Found> {
        let rest = experiment.http()?.clone();
        let with = |headers: Vec<(String, String)>| {
            let mut padded = rest.clone();
            padded.request.headers.extend(headers);
            padded
        };
        let others =
            Experiment::new("the probe with unknown headers of the same size and number", with(unknown(refused)));
        let short = with(vec![("X-A".to_owned(), "x".to_owned())]);
        let short = Experiment::new("the probe with one byte in another header", short);
        let is_all = refused.len() == prepared.request.headers.len();
        let names = || refused.iter().map(|(name, _)| name.clone()).collect();
        // An app may refuse every header that it does not know.
        if self.ask(others.clone()).await?.answered() || !self.ask(short).await?.answered() {
            let changes = vec![if is_all { Change::WithoutHeaders } else { Change::Without(names()) }];
            return self.prove_flip(Cause::HeaderRefused, flip, explanation, changes, experiment).await;
        }
        let alike = match refused.len() {
            1 => "an unknown header of the same size fails too",
            _ => "as many unknown headers of the same size fail too",
        };
        let explanation = format!("{explanation}; {alike}, and a short one does not");
        let change = if is_all { self.without_the_longest(prepared).await } else { Change::Without(names()) };
        let found = Found::of_flip(Cause::HeaderTooLarge, flip, explanation, vec![change]);
        self.prove(Claim { fails: vec![others], ..Claim::of(found, experiment) }).await
    }

    /// A change that leaves as many headers as the server takes: it drops the longest one, two, four and so on, or all.
    async fn without_the_longest(&mut self, prepared: &Prepared) -> Change {
        let mut headers: Vec<&(String, String)> = prepared.request.headers.iter().collect();
        headers.sort_by_key(|(_, value)| Reverse(value.len()));
        let names: Vec<String> = headers.into_iter().map(|(name, _)| name.clone()).collect();
        let mut count = 1;
        while count < names.len() {
            let dropped = &names[..count];
            let mut fewer = prepared.clone();
            fewer.request.headers.retain(|(name, _)| !dropped.contains(name));
            let change = format!("the probe without {}", dropped.join(" and "));
            match self.ask(Experiment::new(change, fewer)).await {
                Some(answer) if answer.answered() => return Change::Without(dropped.to_vec()),
                Some(_) => count *= 2,
                None => break,
            }
        }
        Change::WithoutHeaders
    }
}

/// Headers that no app knows, as many as these and of the same lengths.
fn unknown(headers: &[(String, String)]) -> Vec<(String, String)> {
    const NAME: &str = "X-Padding-";
    let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
    let other = |(place, (name, value)): (usize, &(String, String))| {
        let mut letters: Vec<char> = NAME.chars().cycle().take(name.len()).collect();
        // The last two tell them apart.
        for (at, number) in letters.iter_mut().rev().zip([place, place / 26]) {
            *at = letter(number);
        }
        (letters.into_iter().collect(), "x".repeat(value.len()))
    };
    headers.iter().enumerate().map(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_headers_have_the_same_size_and_number() {
        let headers = [("X-Team", "blue"), ("A", ""), ("X-Padding-With-A-Name", "1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let expected = [("X-Paaa", "xxxx"), ("b", ""), ("X-Padding-X-Paddingac", "x")];
        assert_eq!(unknown(&headers), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
