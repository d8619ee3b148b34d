//! Whatever the doctor finds, it shows no secret: neither the probe's own nor that of a request that works.

use super::*;

/// Whether a request has the key of the request that works.
fn has_key(request: &Request) -> bool {
    header(request, "X-Api-Key").is_some()
}

/// The request as it arrived, in the answer's body and in a header.
fn repeated(status: u16, request: &Request) -> Reply {
    let said = header(request, "Authorization").unwrap_or_default();
    let length = request.len();
    let text = format!("HTTP/1.1 {status} X\r\nX-Said: {said}\r\nContent-Length: {length}\r\n\r\n{}", &**request);
    Reply::Bytes(text.into_bytes())
}

fn of_status(is_good: bool, status: u16) -> Reply {
    Reply::status(if is_good { 200 } else { status }, "")
}

/// A case full of secrets, all of which contain `s3cret`.
fn secretive(address: SocketAddr) -> Case {
    let headers = [("Authorization", "Bearer s3cret-pr0be"), ("Cookie", "session=s3cret-c00kie")];
    let mut case = case(&headers, Duration::from_secs(1));
    let target = "/health?token=s3cret-qu3ry&api_key=s3cret%20k3y";
    target.clone_into(get(&mut case).1);
    let headers = [("X-Api-Key", "s3cret-w0rks"), ("Authorization", "Basic YWRtaW46czNjcmV0LXcwcmQ=")];
    case.known.works = Some(works(address, target, &headers));
    case
}

#[rstest]
#[case::without_its_own(|r: &Request| of_status(header(r, "Authorization").is_none(), 401), false, Some(Cause::HeaderRefused))]
#[case::too_large(|r: &Request| of_status(r.len() < 160, 431), false, Some(Cause::HeaderTooLarge))]
#[case::host(|r: &Request| of_status(host(r).starts_with("localhost"), 400), true, Some(Cause::HostAllowList))]
#[case::another_header(|r: &Request| of_status(has_key(r), 403), true, Some(Cause::MissingHeader))]
#[case::two_things(
    |r: &Request| of_status(host(r).starts_with("localhost") && has_key(r), 403), true, Some(Cause::HostAllowList)
)]
#[case::another_path(|r: &Request| of_status(r.starts_with("GET /healthz"), 404), false, Some(Cause::MethodOrPath))]
#[case::no_path(|_: &Request| Reply::status(404, ""), true, Some(Cause::MethodOrPath))]
#[case::redirects(|_: &Request| Reply::redirect(302, "/health?token=s3cret-an0ther"), true, Some(Cause::RedirectElsewhere))]
#[case::repeats(|r: &Request| repeated(500, r), true, None)]
#[case::repeats_decoded(|_: &Request| Reply::status(500, "no s3cret-qu3ry or s3cret k3y of admin:s3cret-w0rd"), true, None)]
#[case::repeats_in_another_protocol(
    |r: &Request| Reply::Bytes(format!("denied: {}\n", header(r, "Authorization").unwrap_or_default()).into_bytes()),
    true,
    Some(Cause::NotHttp)
)]
#[case::repeats_nothing_else(|r: &Request| Reply::Bytes(r.as_bytes().to_vec()), true, Some(Cause::NotHttp))]
#[case::repeats_in_a_broken_answer(
    |r: &Request| Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", header(r, "Cookie").unwrap_or_default()).into_bytes()),
    false,
    Some(Cause::HeaderRefused)
)]
#[case::well(|r: &Request| repeated(200, r), true, None)]
#[case::late(|_: &Request| Reply::After(Duration::from_millis(1500), response(200, "")), false, Some(Cause::TooSlow))]
#[tokio::test]
async fn no_secret_is_shown(
    #[case] reply: fn(&Request) -> Reply,
    #[case] is_beside_works: bool,
    #[case] cause: Option<Cause>,
) {
    let server = Server::start(reply).await;
    let mut case = secretive(server.address);
    if !is_beside_works {
        case.known.works = None;
    }
    let target = Target::new(POD, 8000, server.address);
    let diagnosis = diagnose(&case, &target, &Profile::default()).await;
    assert_eq!(diagnosis.cause, cause, "{diagnosis:#?}");
    let json = serde_json::to_string_pretty(&diagnosis).unwrap();
    assert!(!json.contains("s3cret"), "{json}");
    assert!(diagnosis.observation.request.contains("Authorization: <hidden>\r\n"));
    if cause == Some(Cause::HostAllowList) {
        let patch = diagnosis.fix.unwrap().patch.unwrap();
        let marked = "value: \"<the value in your manifest>\" # a placeholder: put your own here\n";
        assert!(patch.contains(&format!("- name: Cookie\n                  {marked}")), "{patch}");
    }
}

#[test]
fn a_patch_with_the_whole_request_has_no_secret() {
    let case = secretive(closed_port());
    let changes = vec![fix::Change::Startup(Duration::from_secs(90))];
    let found = Found { changes, ..Found::of_everyone(Cause::NotStarted, "") };
    let patch = fix::of(&case, &found).patch.unwrap();
    assert!(
        patch.contains("path: \"/health?token=<hidden>&api_key=<hidden>\" # a placeholder: put your own here\n"),
        "{patch}"
    );
    assert!(patch.contains("name: Authorization") && !patch.contains("s3cret"), "{patch}");
}
