//! The probe fails because of its own headers: of what they say, or of their size or number. Main function: [`Lab::of_own_headers`].

use std::cmp::Reverse;

use e2e_kubelet::diagnosis::{Cause, Flip};

use super::{
    Claim, Found,
    fix::Change,
    lab::{Experiment, Lab},
};
use crate::probe::Prepared;

impl Lab<'_> {
    /// The probe succeeds without its own headers. If the app refuses what they say, it accepts others of the same size and number.
    pub(super) async fn of_own_headers(
        &mut self,
        prepared: &Prepared,
        works: &Prepared,
        flip: Flip,
        explanation: String,
        experiment: Experiment,
    ) -> Option<Found> {
        let mut others = prepared.clone();
        others.request.headers = unknown(&prepared.request.headers);
        let others = Experiment::new("the probe with unknown headers of the same size and number", others);
        // An app may refuse every header that it does not know.
        if self.ask(others.clone()).await?.answered() || !self.takes_a_short_header(prepared, works).await? {
            let changes = vec![Change::WithoutHeaders];
            return self.prove_flip(Cause::HeaderRefused, flip, explanation, changes, experiment).await;
        }
        let explanation =
            format!("{explanation}; as many unknown headers of the same size fail too, and a short one does not");
        let changes = vec![self.without_the_longest(prepared).await];
        let found = Found::of_flip(Cause::HeaderTooLarge, flip, explanation, changes);
        self.prove(Claim { fails: vec![others], ..Claim::of(found, experiment) }).await
    }

    async fn takes_a_short_header(&mut self, prepared: &Prepared, works: &Prepared) -> Option<bool> {
        let mut short = Prepared { request: works.request.clone(), ..prepared.clone() };
        short.url.target.clone_from(&works.request.target);
        short.request.headers = vec![("X-Padding".to_owned(), "x".to_owned())];
        Some(self.ask(Experiment::plain("with one byte in another header", short)).await?.answered())
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
