//! Findings about the memory of Redis servers: keys evicted, commands refused. Main function: [`findings`].

use e2e_figures::scenario::ScenarioResult;
use e2e_plan::words::{counted, mebibytes};

use super::{Code, RunData};
use crate::{
    environment::Component,
    evidence::{REDIS, redis::RedisServer},
    finding::{Finding, Severity},
};

/// For each component what its servers lost or refused for want of memory, and which of them did not tell.
pub(super) fn findings(data: &RunData) -> Vec<Finding> {
    let of = |component: &Component| {
        let all = data.redis.iter().enumerate();
        let servers: Vec<Server<'_>> = all.filter(|(_, server)| server.component == component.name).collect();
        [evicted(data, component, &servers), refused(data, component, &servers), untold(component, &servers)]
    };
    data.environment.components.iter().flat_map(of).flatten().collect()
}

/// A server with its place in the evidence.
type Server<'a> = (usize, &'a RedisServer);

/// Milliseconds since 1970.
type Span = std::ops::Range<u64>;

/// What is evicted is gone for its readers. A cache may be meant to, so it is a warning.
fn evicted(data: &RunData, component: &Component, servers: &[Server<'_>]) -> Option<Finding> {
    let (each, evidence) = counts(data, servers, "key", RedisServer::evicted)?;
    let name = &component.name;
    Some(Finding {
        claim: format!("{name} evicted keys to stay within its memory: {each}"),
        evidence,
        fix: format!(
            "Raise maxmemory of {name}, or let keys expire earlier. Keep keys that are more than cached copies on a server with the \
             policy noeviction, which refuses writes instead."
        ),
        ..Finding::of(name, Code::KeysEvicted, Severity::Warning)
    })
}

/// Its clients got an error for each.
fn refused(data: &RunData, component: &Component, servers: &[Server<'_>]) -> Option<Finding> {
    let (each, evidence) = counts(data, servers, "command", RedisServer::refused_commands)?;
    let name = &component.name;
    Some(Finding {
        claim: format!("{name} refused commands because its memory was used up (`OOM command not allowed`): {each}"),
        evidence,
        fix: format!(
            "Raise maxmemory of {name} within its memory limit, or find out why its keys are not deleted and do not expire; {REDIS} has \
             its memory over time."
        ),
        ..Finding::of(name, Code::WritesRefused, Severity::Error)
    })
}

/// What servers counted, in words, with the evidence; nothing if all counted none.
fn counts(
    data: &RunData,
    servers: &[Server<'_>],
    noun: &str,
    count: impl Fn(&RedisServer, Span) -> u64,
) -> Option<(String, Vec<String>)> {
    let mut each = Vec::new();
    let mut evidence = Vec::new();
    for (index, server) in servers {
        let all = count(server, 0..u64::MAX);
        if all > 0 {
            let RedisServer { pod, maxmemory_bytes, maxmemory_policy: policy, .. } = server;
            let in_scenarios: String =
                data.scenarios().map(|(figures, _)| in_scenario(figures, &count, server)).collect();
            each.push(format!(
                "{pod} {} (maxmemory {}, policy {policy}){in_scenarios}",
                counted(all, noun),
                mebibytes(*maxmemory_bytes)
            ));
            evidence.push(format!("{REDIS}#/{index}"));
        }
    }
    (!each.is_empty()).then(|| (each.join("; "), evidence))
}

/// `, 12 in the scenario throughput`, or nothing.
fn in_scenario(figures: &ScenarioResult, count: impl Fn(&RedisServer, Span) -> u64, server: &RedisServer) -> String {
    match count(server, figures.window()) {
        0 => String::new(),
        some => format!(", {some} in the scenario {}", figures.name),
    }
}

fn untold(component: &Component, servers: &[Server<'_>]) -> Option<Finding> {
    let (index, server) = servers.iter().find(|(_, server)| server.refused.is_some())?;
    Some(Finding {
        claim: format!(
            "whether {} evicts keys is unknown: it refused INFO with `{}`",
            server.pod,
            server.refused.as_deref().unwrap_or_default()
        ),
        evidence: vec![format!("{REDIS}#/{index}")],
        fix: "Set the server's password with --requirepass in its arguments, or in the variable REDIS_PASSWORD or VALKEY_PASSWORD, where \
              the run can read it."
            .to_owned(),
        ..Finding::of(&component.name, Code::NotMeasured, Severity::Warning)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::redis::RedisSample,
        testing::{measured, quiet},
    };

    /// A run whose component is a server that said this at 1 s and 11 s.
    fn told(evicted: [u64; 2], refused: [u64; 2]) -> RunData {
        let mut data = quiet();
        let samples = [0, 1].map(|index| RedisSample {
            at_unix_ms: 1_000 + 10_000 * index as u64,
            memory_bytes: 4 << 20,
            evicted_keys: evicted[index],
            refused_commands: Some(refused[index]),
        });
        data.redis = vec![RedisServer {
            component: "app".to_owned(),
            pod: "app-0".to_owned(),
            port: 6379,
            refused: None,
            maxmemory_bytes: 4 << 20,
            maxmemory_policy: "volatile-lru".to_owned(),
            samples: samples.to_vec(),
        }];
        let figures = ScenarioResult {
            window_start_unix_ms: 5_000,
            duration_ms: 8_000,
            requests: 1,
            ..ScenarioResult::default()
        };
        data.records = vec![measured("pressed", figures)];
        data
    }

    #[test]
    fn a_server_within_its_memory_is_no_finding() {
        assert_eq!(findings(&told([0, 0], [0, 0])), []);
    }

    #[test]
    fn what_was_lost_and_what_was_refused_are_two_facts() {
        let found = findings(&told([2, 7], [0, 1]));
        let [evicted, refused] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((evicted.code, evicted.severity), (Code::KeysEvicted, Severity::Warning));
        assert_eq!(
            evicted.claim,
            "app evicted keys to stay within its memory: app-0 7 keys (maxmemory 4 MiB, policy volatile-lru), 5 in the scenario pressed"
        );
        assert_eq!((refused.code, refused.severity), (Code::WritesRefused, Severity::Error));
        assert!(refused.claim.contains("app-0 1 command (maxmemory 4 MiB"), "{}", refused.claim);
        assert_eq!(refused.evidence, ["evidence/redis.json#/0"]);
    }

    #[test]
    fn a_server_that_does_not_tell_is_no_silence() {
        let mut data = told([0, 0], [0, 0]);
        data.redis[0].refused = Some("NOAUTH Authentication required.".to_owned());
        let found = findings(&data);
        assert_eq!((found[0].code, found[0].severity), (Code::NotMeasured, Severity::Warning));
        assert!(found[0].claim.contains("`NOAUTH Authentication required.`"), "{}", found[0].claim);
    }
}
