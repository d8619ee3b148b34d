//! This project's kubelet against what real ones of two versions were seen to do with the same servers and probes.

mod cases;
mod ours;
mod verdict;

use e2e_node::probe::Profile;
use rstest::rstest;

#[rstest]
#[case::old("1.20", include_str!("recorded/1.20.json"))]
#[case::current("1.36", include_str!("recorded/1.36.json"))]
#[tokio::test(flavor = "multi_thread")]
async fn our_kubelet_agrees_with_the_recorded_one(#[case] version: &str, #[case] recorded: &str) {
    let kubelet: verdict::Verdicts = serde_json::from_str(recorded).expect("what the test differential_k8s wrote");
    let ours = ours::verdicts(&Profile::of_version(version)).await;
    let faults = verdict::disagreements(&kubelet, &ours);
    let count = cases::CASES.len();
    println!("{} of {count} cases agree with a kubelet of {version}", count - verdict::faulty(&faults));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_default_is_the_newest_that_was_recorded() {
    assert_eq!(Profile::default(), Profile::of_version("1.36"));
}
