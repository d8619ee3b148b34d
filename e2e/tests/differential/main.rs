//! This project's kubelet against what a real one was seen to do with the same servers and probes.

mod cases;
mod ours;
mod verdict;

#[tokio::test(flavor = "multi_thread")]
async fn our_kubelet_agrees_with_the_recorded_one() {
    let kubelet: verdict::Verdicts =
        serde_json::from_str(include_str!("recorded.json")).expect("what the test differential_k8s wrote");
    let ours = ours::verdicts().await;
    let faults = verdict::disagreements(&kubelet, &ours);
    println!(
        "{} of {} cases agree, and {} differ by the kubelet's version",
        cases::CASES.len() - verdict::SYNCED_LATE.len() - faulty(&faults),
        cases::CASES.len(),
        verdict::SYNCED_LATE.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// How many cases the faults are about.
fn faulty(faults: &[String]) -> usize {
    faults.iter().filter_map(|fault| fault.split(':').next()).collect::<std::collections::BTreeSet<_>>().len()
}
