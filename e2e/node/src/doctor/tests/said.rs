//! What is said of a failure: its words must not be half of the truth.

use super::*;

#[rstest]
#[case::none(None, "name a request that succeeds with --works to compare")]
#[case::one(Some("/"), "of that of --works, which succeeds")]
#[case::one_that_fails(Some("/other"), "which does not succeed here either")]
#[tokio::test]
async fn a_request_that_works_is_not_asked_for_twice(#[case] other: Option<&str>, #[case] advice: &str) {
    let server = Server::start(|r| Reply::status(if r.starts_with("GET / ") { 200 } else { 500 }, "")).await;
    let mut case = case(&[], Duration::from_secs(1));
    case.known.works = other.map(|other| works(server.address, other, &[]));
    let target = Target::new(POD, 8000, server.address);
    let diagnosis = diagnose(&case, &target, &Profile::default()).await;
    assert_eq!(diagnosis.cause, None, "{diagnosis:#?}");
    let summary = diagnosis.fix.unwrap().summary;
    assert!(summary.contains(advice), "{summary}");
}

#[rstest]
#[case::maintenance("/health", r#"{"status": "maintenance"}"#, "/no-app-serves-this-path", "a 404 of another form")]
#[case::hidden("/-/health", "not found", "/no-app-serves-this-path", "a redirect to http://10.244.0.9:8000/login")]
#[tokio::test]
async fn a_path_that_may_be_hidden_is_said_to_get_another_answer(
    #[case] target: &str,
    #[case] body: &'static str,
    #[case] other: &str,
    #[case] what: &str,
) {
    let server = Server::start(move |request| match request.split(' ').nth(1) {
        Some("/login") => Reply::status(200, ""),
        Some("/health") => Reply::status(404, body),
        Some(hidden) if hidden.starts_with("/-/") => Reply::status(404, body),
        _ if body.starts_with('{') => Reply::status(404, "not found"),
        _ => Reply::redirect(302, "/login"),
    })
    .await;
    let mut case = case(&[], Duration::from_secs(1));
    *get(&mut case).1 = target.to_owned();
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    let said = format!(
        "GET {target} returns 404, but {other}, a path that no app serves, gets another answer ({what}): the app may know the path, and \
         hide it from this client or in its present state"
    );
    assert_eq!((diagnosis.cause, diagnosis.explanation), (None, said), "{:#?}", diagnosis.evidence);
}

/// The server takes five headers, and the probe has six.
#[tokio::test]
async fn the_number_of_headers_is_no_refusal_of_one() {
    let server = Server::start(|r| Reply::status(if r.matches(": ").count() <= 5 { 200 } else { 431 }, "")).await;
    let case = case(&[("X-Team", "a"), ("X-Stage", "b")], Duration::from_secs(1));
    let diagnosis = examine(&case, &[(8000, server.address)]).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::HeaderTooLarge), true), "{diagnosis:#?}");
    let fix = diagnosis.fix.unwrap();
    // One of them may stay.
    assert_eq!(fix.verified, Some(true));
    assert_eq!(fix.patch.unwrap().matches("- name: X-").count(), 1);
}
