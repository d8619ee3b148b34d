//! The doctor's score: every cause with servers that really behave so, and what must not get a name. Each is met three times,
//! with an English, an empty and a translated body, since no text may decide.

/// A fixture from its name and an expression for the patient, in which the words of refusals can be used.
macro_rules! fixtures {
    ($($name:literal => $cause:expr, |$words:ident| $patient:expr;)*) => {
        [$(($name, $cause, (|$words| Box::pin(async move { let _ = $words; $patient })) as Make)),*]
    };
}

mod confounders;
mod fixtures;
mod patients;
mod working;

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use e2e_kubelet::{
    diagnosis::{Cause, Diagnosis, Trial},
    observation::Kind,
};
use e2e_plan::ProbeAction;
use futures_util::StreamExt;
use probed::{Reply, Request, Server, Speaks, closed_port, header, response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use self::{confounders::confounders, fixtures::causes, patients::Patient, working::beside_works};
use super::{
    super::time::{SILENCE, WATCHED_AT_MOST},
    POD, case, get, host, is_even, works,
};
use crate::{
    doctor::{Case, Known, WorkingRequest, diagnose, fix},
    probe::{Profile, Target},
};

thread_local! {
    /// The second of the fixtures: they are met again with a longer one where the machine has more to do than the test.
    static UNIT: Cell<Duration> = const { Cell::new(Duration::from_secs(1)) };
}
/// The second of a fixture that is met again.
const LONGER: Duration = Duration::from_secs(4);
/// While nothing ran here for so long, what was late was not the app's.
const STALL: Duration = Duration::from_millis(150);
/// What is said with a refusal.
const WORDS: [&str; 3] = ["Invalid host header", "", "Der Rechnername ist unbekannt"];

type Making = Pin<Box<dyn Future<Output = Patient>>>;
type Make = fn(&'static str) -> Making;

/// A diagnosis, and what is wrong with it whatever its cause.
async fn examine(patient: &Patient) -> (Diagnosis, Vec<String>) {
    let start = tokio::time::Instant::now();
    let diagnosis = diagnose(&patient.case, &patient.target, &Profile::default()).await;
    let took = start.elapsed();
    let mut faults = Vec::new();
    // Four seconds are promised, or 25 to see an app stay up, or eight to see a limit accept something again, and the machine that runs the test has more to do.
    let limit = match diagnosis.observation.status {
        _ if patient.case.known.may_be_starting => second() * 26,
        Some(429) => second() * 83 / 10,
        // A body that stays open is waited for again.
        _ if diagnosis.observation.kind == Kind::Truncated => second() * 83 / 10,
        // One that was late is watched, too, waited for, and met again after two pauses.
        _ if diagnosis.evidence.first().is_some_and(|probe| 0 < probe.succeeded && probe.succeeded < probe.sent) => {
            second() * 12 + WATCHED_AT_MOST + SILENCE * 2
        }
        // One that takes most of its time is repeated as often as a quick one.
        _ if diagnosis.success() => second() * 15,
        _ => second() * 43 / 10,
    };
    let most = if patient.case.known.works.is_some() { 28 } else { 14 };
    if took > limit || diagnosis.requests > most {
        faults.push(format!("{took:?} and {} requests", diagnosis.requests));
    }
    if let Some((fix, patch)) = diagnosis.fix.as_ref().and_then(|fix| Some((fix, fix.patch.as_ref()?))) {
        let works = patient.case.known.works.as_ref().map(|works| works.address.port());
        let ports: std::collections::BTreeSet<u16> = patient.target.ports.keys().copied().chain(works).collect();
        let ports: Vec<u16> = ports.into_iter().collect();
        if let Err(error) = fix::patched(patch, &patient.case, &ports) {
            faults.push(format!("{error} for the patch {patch}"));
        }
        // A patch that reveals a broken app makes the probe fail, which is its purpose.
        let helps = !diagnosis.success() && !diagnosis.explanation.ends_with("reports NOT_SERVING");
        let is_tried = diagnosis.cause.is_none_or(Cause::is_helped);
        if is_tried && fix.verified != Some(helps) {
            faults.push(format!("the check of the patch came to {:?}: {:?}", fix.verified, fix.patch));
        }
    }
    (diagnosis, faults)
}

/// The result of an examination, and the longest time for which nothing else ran on this thread, at least a tick.
async fn with_stall<T>(examination: impl Future<Output = T>) -> (T, Duration) {
    const TICK: Duration = Duration::from_millis(10);
    let mut longest = Duration::ZERO;
    let mut examination = std::pin::pin!(examination);
    loop {
        let start = tokio::time::Instant::now();
        match tokio::time::timeout(TICK, examination.as_mut()).await {
            Ok(result) => return (result, longest.max(start.elapsed())),
            Err(_) => longest = longest.max(start.elapsed()),
        }
    }
}

/// Meets every fixture, a few at a time: what is late here must be late by itself. Most of the time is spent waiting. What is `wrong`
/// with a diagnosis is a fault if it names something while the thread ran, or if it is still wrong in a longer second.
async fn meet<T: Copy + 'static>(
    fixtures: Vec<(&'static str, T, Make)>,
    wrong: impl Fn(T, &Diagnosis) -> Option<String>,
) -> (usize, Vec<String>) {
    let (mut count, mut faults) = (0, Vec::new());
    let told = |name: &str, diagnosis: &Diagnosis, faults: &[String]| {
        format!("{name}: {}{}", faults.join("; "), tried(diagnosis))
    };
    for words in WORDS {
        let patients = fixtures.iter().map(|(name, expected, make)| async move {
            // On the heap: sixteen of them do not fit a test's stack.
            let examined = Box::pin(async { examine(&make(words).await).await });
            (format!("{name} (with `{words}`)"), *expected, *make, with_stall(examined).await)
        });
        let patients = futures_util::stream::iter(patients).buffer_unordered(16);
        for (name, expected, make, ((diagnosis, mut found), stall)) in patients.collect::<Vec<_>>().await {
            count += 1;
            let named = wrong(expected, &diagnosis);
            if named.is_some() && diagnosis.cause.is_some() && stall < STALL {
                found.extend(named);
                faults.push(told(&name, &diagnosis, &found));
            } else if named.is_some() || !found.is_empty() {
                let unit = UNIT.replace(LONGER);
                let (diagnosis, mut found) = Box::pin(async { examine(&make(words).await).await }).await;
                UNIT.set(unit);
                found.extend(wrong(expected, &diagnosis));
                if !found.is_empty() {
                    faults.push(told(&name, &diagnosis, &found));
                }
            }
        }
    }
    (count, faults)
}

/// A second of the fixtures.
fn second() -> Duration {
    UNIT.get()
}

/// Only the doctor sends what the limit refuses.
#[tokio::test]
async fn a_limit_on_changed_requests_makes_no_app_flaky() {
    let (saved, accepts) = (AtomicU32::new(3), patients::pacer(Duration::from_millis(200)));
    let reply = move |request: &Request| match host(request) {
        "10.244.0.9:8000" => Reply::status(400, ""),
        _ if saved.load(Ordering::Relaxed) > 0 => {
            saved.fetch_sub(1, Ordering::Relaxed);
            Reply::status(200, "")
        }
        _ => patients::ok_if(accepts(), 503, ""),
    };
    let (diagnosis, _) = examine(&Patient::serving(Speaks::Http1, reply).await).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None), "{diagnosis:#?}");
}

/// The probe itself fails every time.
#[tokio::test]
async fn what_is_reset_beside_the_probe_makes_no_app_flaky() {
    let count = AtomicU32::new(0);
    let reply = move |request: &Request| match patients::path(request) {
        "/health" => Reply::status(500, ""),
        _ if count.fetch_add(1, Ordering::Relaxed) % 3 == 1 => Reply::Reset,
        _ => Reply::status(200, ""),
    };
    let (diagnosis, _) = examine(&Patient::serving(Speaks::Http1, reply).await.works_with("/")).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None), "{diagnosis:#?}");
}

#[tokio::test]
async fn a_fix_that_takes_two_changes_names_both() {
    let mut patient = patients::answers_anything("", "GET /healthz ").await;
    patient.case.known.works = Some(works(patient.target.ports[&8000], "/healthz", &[]));
    let (diagnosis, _) = examine(&patient).await;
    assert_eq!((diagnosis.cause, diagnosis.confirmed), (Some(Cause::TlsToPlain), true), "{diagnosis:#?}");
    let said = "the probe speaks TLS and the port does not, and it succeeds only with the path /healthz";
    assert_eq!(diagnosis.explanation, said);
    let fix = diagnosis.fix.unwrap();
    assert_eq!(fix.summary, "set scheme: HTTP in the livenessProbe; also set path: /healthz");
    assert_eq!(fix.verified, Some(true));
}

/// A header that is believed from this machine's usual address only is no patch: a kubelet has another.
#[tokio::test]
async fn a_header_that_only_this_machine_may_send_is_no_patch() {
    let (diagnosis, _) = examine(&patients::believes_this_machine().await).await;
    assert_eq!(diagnosis.cause, Some(Cause::RedirectToHttps), "{}", tried(&diagnosis));
    assert!(diagnosis.explanation.contains("the app ignores it from 127.0.0.2"), "{}", diagnosis.explanation);
    assert_eq!(diagnosis.fix.unwrap().patch, None);
}

/// A probe that succeeds until it has used something up has no cause that is proved, and does not succeed.
#[tokio::test]
async fn a_success_that_was_the_last_one_is_no_success() {
    let patient = patients::unless(500, "", |request| request.earlier < 5).await;
    let (diagnosis, _) = examine(&patient).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (false, None), "{}", tried(&diagnosis));
    let said =
        "the probe succeeded 5 of 48 times, and failed the last 43 times (status 500), once after a pause of 10.0 s";
    assert_eq!(diagnosis.explanation, said);
}

/// A limit that only the doctor's own requests reach accepts the next probe of a kubelet.
#[tokio::test]
async fn a_limit_that_is_over_after_a_pause_is_no_failure() {
    let begun = tokio::time::Instant::now();
    let accepts = move |request: &Request| request.earlier < 10 || begun.elapsed() > Duration::from_secs(6);
    let (diagnosis, _) = examine(&patients::unless(503, "", accepts).await).await;
    assert_eq!((diagnosis.success(), diagnosis.cause), (true, None), "{}{}", diagnosis.explanation, tried(&diagnosis));
}

/// A path that another probe asks for may be a page of the server in front, so it is no patch.
#[rstest::rstest]
#[case::a_customary_path(&["/healthz", "/page"], Some("path: \"/healthz\""))]
#[case::that_of_another_probe(&["/page"], None)]
#[tokio::test]
async fn a_path_of_another_probe_is_the_last_choice(#[case] served: &'static [&str], #[case] patched: Option<&str>) {
    let patient = patients::unless(404, "no", |r| served.contains(&patients::path(r))).await;
    let patient = patient.known(Known { paths: vec!["/page".to_owned()], ..Known::default() });
    let (diagnosis, _) = examine(&patient).await;
    assert_eq!(diagnosis.cause, Some(Cause::MethodOrPath), "{}", tried(&diagnosis));
    let patch = diagnosis.fix.unwrap().patch;
    assert_eq!(patch.is_some(), patched.is_some());
    assert!(patched.is_none_or(|path| patch.unwrap().contains(path)));
}

fn tried(diagnosis: &Diagnosis) -> String {
    let line = |trial: &Trial| format!("\n    {}: {}", trial.change, trial.summary);
    diagnosis.evidence.iter().map(line).collect()
}

#[tokio::test]
async fn the_score() {
    let (causes, confounders) = ([causes(), beside_works()].concat(), confounders());
    let mut covered: std::collections::BTreeSet<Cause> = causes.iter().map(|(_, cause, _)| *cause).collect();
    // Shown by the app's own figures, or by commands, which have tests of their own.
    covered.extend([
        Cause::WaitsForPool,
        Cause::CommandWithoutShell,
        Cause::CommandNotFound,
        Cause::MissingCredentials,
    ]);
    assert_eq!(covered.len(), Cause::ALL.len(), "every cause has a fixture");
    let misnamed = |expected, diagnosis: &Diagnosis| {
        (diagnosis.cause != Some(expected)).then(|| format!("{:?} instead of {expected}", diagnosis.cause))
    };
    let (count, mut faults) = meet(causes, misnamed).await;
    println!("causes named {}/{count}", count - faults.len());
    let false_name = |success, diagnosis: &Diagnosis| {
        // That it comes and goes is no cause, but it is what was seen.
        let is_false = diagnosis.cause.is_some_and(|cause| cause != Cause::Flaky);
        (is_false || diagnosis.success() != success)
            .then(|| format!("{:?}, and success should be {success}", diagnosis.cause))
    };
    let (count, wrong) = meet(confounders, false_name).await;
    println!("false names or verdicts on confounders {}/{count}", wrong.len());
    faults.extend(wrong);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
