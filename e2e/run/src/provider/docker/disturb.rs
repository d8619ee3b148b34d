//! What planned faults do to packets between pods. Pure. Main type: [`Disturbance`].

use std::{net::Ipv4Addr, time::Duration};

use super::nft::Obstacle;

/// What becomes of everything that some pods send to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disturbance {
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    /// By how much later it arrives; never without.
    pub(crate) delay: Option<Duration>,
}

/// What becomes of packets that arrive at a pod. What a pod sends to itself arrives as always.
pub(super) fn obstacles(
    disturbances: &[Disturbance],
    pod: &str,
    address: impl Fn(&str) -> Option<Ipv4Addr>,
) -> Vec<Obstacle> {
    let here = disturbances.iter().filter(|disturbance| disturbance.to.iter().any(|to| to == pod));
    let of = |disturbance: &Disturbance| {
        let others = disturbance.from.iter().filter(|from| *from != pod);
        let others = others.filter_map(|from| Some(Obstacle { from: address(from)?, delay: disturbance.delay }));
        others.collect::<Vec<_>>()
    };
    here.flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_of_a_side_stands_in_the_way_of_all_of_the_other() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let late = Some(Duration::from_millis(50));
        let disturbances = [
            Disturbance { from: named(&["app-0", "app-1"]), to: named(&["db-0"]), delay: None },
            Disturbance { from: named(&["app-0"]), to: named(&["app-0", "app-1"]), delay: late },
        ];
        let address = |pod: &str| {
            let last = ["app-0", "app-1", "db-0"].iter().position(|known| *known == pod)?;
            Some(Ipv4Addr::new(172, 20, 0, u8::try_from(last).ok()?))
        };
        let at = |pod: &str| obstacles(&disturbances, pod, address);
        let from = |last, delay| Obstacle { from: Ipv4Addr::new(172, 20, 0, last), delay };
        assert_eq!(at("db-0"), [from(0, None), from(1, None)]);
        assert_eq!(at("app-1"), [from(0, late)]);
        assert_eq!(at("app-0"), [], "nothing but its own");
    }
}
