//! Whether 404 means that the app does not serve a path: it may also hide one that it serves. Main function: [`Lab::is_unserved`].

use e2e_kubelet::observation::{EXCERPT_BYTES, Observation};

use super::{
    lab::Lab,
    path::{UNSERVED, of_this_path},
};
use crate::{probe::Prepared, request::split};

impl Lab<'_> {
    /// A path beside the probe's that no app serves; `None` if it cannot be asked for.
    pub(super) async fn beside(&mut self, prepared: &Prepared, observation: &Observation) -> Option<Observation> {
        self.ask(of_this_path(prepared, &sibling(&last_target(prepared, observation)))).await
    }

    /// Whether the app answers the probe like a path that it does not serve. A 404 of another form shows that the app knows the path; some hide
    /// theirs from clients of other addresses, or while they are in maintenance. So may one that keeps everybody away from paths that it does not
    /// serve.
    pub(super) async fn is_unserved(&mut self, prepared: &Prepared, observation: &Observation) -> bool {
        let target = last_target(prepared, observation);
        let Some(beside) = self.beside(prepared, observation).await else { return false };
        let mut other = sibling(&target);
        let mut differs = beside.status != observation.status;
        if !differs && !is_alike((observation, &target), (&beside, &other)) {
            // A page that is another one each time tells nothing.
            let Some(again) = self.again().await else { return false };
            differs = is_alike((observation, &target), (&again, &target));
        }
        let mut answer = beside;
        if !differs && other != UNSERVED {
            // A whole directory may be hidden.
            let Some(outside) = self.ask(of_this_path(prepared, UNSERVED)).await else { return true };
            (differs, answer, other) = (keeps_away(&outside), outside, UNSERVED.to_owned());
        }
        if differs {
            let what = match (answer.status == observation.status, answer.followed.last()) {
                (true, _) => "a 404 of another form".to_owned(),
                (false, Some(last)) => format!("a redirect to {last}"),
                (false, None) => answer.outcome(),
            };
            let text = format!(
                "GET {target} returns 404, but {other}, a path that no app serves, gets another answer ({what}): the app may know the \
                 path, and hide it from this client or in its present state"
            );
            self.remark = Some((
                text,
                "find out from the app's documentation, configuration and log for which clients and in which state it answers this path",
            ));
        }
        !differs
    }
}

/// The target that was answered: the probe's, or that of the last redirect to the same place.
fn last_target(prepared: &Prepared, observation: &Observation) -> String {
    let place = format!("{}://{}", prepared.url.scheme, prepared.url.authority());
    let last = observation.followed.last().and_then(|last| last.strip_prefix(&place));
    last.filter(|target| target.starts_with('/')).unwrap_or(&prepared.request.target).to_owned()
}

/// A path in the same directory that no app serves, with the same query.
fn sibling(target: &str) -> String {
    let (path, query) = split(target);
    let (whole, slash) = path.strip_suffix('/').map_or((path, ""), |whole| (whole, "/"));
    let directory = whole.rsplit_once('/').map_or("", |(directory, _)| directory);
    let slash = if whole.is_empty() { "" } else { slash };
    format!("{directory}{UNSERVED}{slash}{query}")
}

/// Whether an answer sends clients away from any path, as where users have to sign in first.
fn keeps_away(answer: &Observation) -> bool {
    !answer.followed.is_empty() || answer.header("location").is_some() || matches!(answer.status, Some(401 | 403))
}

/// Whether the answers to two targets have the same form: the same status and type, and the same words but for those of the target.
fn is_alike((one, target): (&Observation, &str), (other, other_target): (&Observation, &str)) -> bool {
    let of = |answer: &Observation| (answer.status, answer.header("content-type").map(str::to_owned));
    let (words, others) = (words_without(&one.body, target), words_without(&other.body, other_target));
    // The last word of an excerpt may be cut off.
    let is_whole = one.body.len().max(other.body.len()) < EXCERPT_BYTES;
    let is_same = match words.len().min(others.len()) {
        _ if is_whole => words == others,
        count => words[..count.saturating_sub(1)] == others[..count.saturating_sub(1)],
    };
    of(one) == of(other) && is_same
}

/// The words of a body without those of the target, and without those that have digits: times and numbers of requests.
fn words_without<'a>(body: &'a str, target: &str) -> Vec<&'a str> {
    let own = words_of(target);
    let mut words = words_of(body);
    words.retain(|word| !own.contains(word) && !word.contains(|c: char| c.is_ascii_digit()));
    words
}

fn words_of(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use e2e_kubelet::observation::{Kind, Verdict};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/health", "/no-app-serves-this-path")]
    #[case("/", "/no-app-serves-this-path")]
    #[case("/health/?full=/a", "/no-app-serves-this-path/?full=/a")]
    #[case("/-/readiness", "/-/no-app-serves-this-path")]
    fn a_sibling_is_in_the_same_directory(#[case] target: &str, #[case] expected: &str) {
        assert_eq!(sibling(target), expected);
    }

    #[rstest]
    #[case("Cannot GET /a/health", "Cannot GET /a/none", true)]
    #[case(
        r#"{"at":"2026-01-02T03:04:05Z","id":"3f2a-b","path":"\/a\/health"}"#,
        r#"{"at":"2026-01-02T03:04:06Z","id":"a41e-c","path":"\/a\/none"}"#,
        true
    )]
    #[case("<p>&#47;a&#47;health is missing</p>", "<p>&#47;a&#47;none is missing</p>", true)]
    #[case(r#"{"status":"maintenance_mode"}"#, r#"{"error":"not_found"}"#, false)]
    #[case("", "not found", false)]
    fn the_form_of_an_answer_is_what_its_target_does_not_change(
        #[case] one: &str,
        #[case] other: &str,
        #[case] expected: bool,
    ) {
        let answer = |body: &str| Observation {
            status: Some(404),
            body: body.to_owned(),
            ..Observation::new(Verdict::Failure, Kind::Response, "")
        };
        assert_eq!(is_alike((&answer(one), "/a/health"), (&answer(other), "/a/none")), expected);
    }
}
