//! A pod's network as rules in the kernel's own form: addresses of Services, as kube-proxy writes them for a node, and what planned faults
//! do to packets. Messages and attributes as `linux/netfilter/nf_tables.h` numbers them. Pure. Main function: [`batch`].

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use super::netlink::{APPEND, CREATE, Messages, attribute, nested, number, text};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) routes: Vec<Route>,
    pub(super) obstacles: Vec<Obstacle>,
}

/// Where the connections to one port of a Service's address go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    /// An IP protocol's number.
    pub(super) protocol: u8,
    /// Taken in turn; without any, connections are refused.
    pub(super) targets: Vec<(Ipv4Addr, u16)>,
}

/// What becomes of packets that arrive from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) from: Ipv4Addr,
    /// By how much later they arrive; never without.
    pub(super) delay: Option<Duration>,
}

/// How a rule hands packets to a program. Kernels are built with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// An expression of nf_tables.
    Expression,
    /// The target of iptables.
    Target,
}

impl Rules {
    /// Whether a program has to hold packets back.
    pub(super) fn delay(&self) -> bool {
        self.obstacles.iter().any(|obstacle| obstacle.delay.is_some())
    }
}

/// Our table in the pod's network.
const TABLE: &str = "e2e";
/// Translates what the pod sends to a Service's address.
const TRANSLATE: &str = "translate";
/// Refuses what stayed untranslated.
const REFUSE: &str = "refuse";
/// Drops what arrives, or lets it wait.
const OBSTRUCT: &str = "obstruct";

const NEW_TABLE: u16 = 0xa00;
const NEW_CHAIN: u16 = 0xa03;
const DELETE_CHAIN: u16 = 0xa05;
const NEW_RULE: u16 = 0xa06;
const DELETE_RULE: u16 = 0xa08;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const IPV4: u8 = 2;
/// The subsystem that a batch is for.
const NF_TABLES: u16 = 10;
/// NF_INET_PRE_ROUTING: what arrives, before connections are tracked, so from the pod that sent it.
const PREROUTING: u32 = 0;
/// NF_INET_LOCAL_OUT: what processes of the pod send.
const LOCAL_OUT: u32 = 3;
const ADDRESS_REGISTER: u32 = 1;
const PORT_REGISTER: u32 = 2;
/// NFT_REG_VERDICT.
const VERDICT_REGISTER: u32 = 0;

/// The messages that make a pod's rules equal to `rules`, as one transaction: connections that exist go on. Packets that wait get to the
/// program by `queue`, each with its delay in microseconds as its mark.
pub(super) fn batch(rules: &Rules, queue: Queue) -> Vec<u8> {
    let mut batch = Messages::default();
    batch.push(BATCH_BEGIN, 0, 0, NF_TABLES, &[]);
    batch.push(NEW_TABLE, CREATE, IPV4, 0, &text(1, TABLE));
    // As kube-proxy: translation where the kernel translates (priority -100), refusal where it filters (0).
    let chains = [
        (TRANSLATE, "nat", LOCAL_OUT, -100_i32),
        (REFUSE, "filter", LOCAL_OUT, 0),
        (OBSTRUCT, "filter", PREROUTING, -300),
    ];
    for (chain, kind, hook, priority) in chains {
        let hook = [number(1, hook), attribute(2, &priority.to_be_bytes())].concat();
        let chain = [text(1, TABLE), text(3, chain), nested(4, &hook), text(7, kind)].concat();
        batch.push(NEW_CHAIN, CREATE, IPV4, 0, &chain);
    }
    for (chain, ..) in chains {
        batch.push(DELETE_RULE, 0, IPV4, 0, &[text(1, TABLE), text(2, chain)].concat());
    }
    for route in &rules.routes {
        for (position, target) in route.targets.iter().enumerate() {
            add(&mut batch, TRANSLATE, &translation(route, route.targets.len() - position, *target));
        }
    }
    for address in rules.routes.iter().map(|route| route.address).collect::<BTreeSet<_>>() {
        add(&mut batch, REFUSE, &[to(address), vec![refusal()]].concat());
    }
    // What is lost need not wait.
    let (late, lost): (Vec<_>, Vec<_>) = rules.obstacles.iter().partition(|obstacle| obstacle.delay.is_some());
    for obstacle in lost.into_iter().chain(late) {
        add(&mut batch, OBSTRUCT, &obstruction(obstacle, queue));
    }
    if rules.obstacles.is_empty() {
        // Every packet would pass an empty one.
        batch.push(DELETE_CHAIN, 0, IPV4, 0, &[text(1, TABLE), text(3, OBSTRUCT)].concat());
    }
    batch.push(BATCH_END, 0, 0, NF_TABLES, &[]);
    batch.bytes()
}

fn add(batch: &mut Messages, chain: &str, expressions: &[Vec<u8>]) {
    let rule = [text(1, TABLE), text(2, chain), nested(4, &expressions.concat())].concat();
    batch.push(NEW_RULE, CREATE | APPEND, IPV4, 0, &rule);
}

/// One target of a route: of every `left` connections that reach the rule it takes one, and the last target takes the rest.
fn translation(route: &Route, left: usize, (address, port): (Ipv4Addr, u16)) -> Vec<Vec<u8>> {
    let mut expressions = to(route.address);
    expressions.push(expression("meta", &[number(1, 1), number(2, 16)]));
    expressions.push(equals(&[route.protocol]));
    expressions.push(payload(2, 2, 2));
    expressions.push(equals(&route.port.to_be_bytes()));
    if left > 1 {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        expressions.push(expression("numgen", &[number(1, 1), number(2, left), number(3, 0)]));
        expressions.push(equals(&[0; 4]));
    }
    expressions.push(immediate(ADDRESS_REGISTER, &address.octets()));
    expressions.push(immediate(PORT_REGISTER, &port.to_be_bytes()));
    // To another destination (1), in both registers.
    let nat = [number(1, 1), number(2, IPV4.into()), number(3, ADDRESS_REGISTER), number(5, PORT_REGISTER)];
    expressions.push(expression("nat", &nat));
    expressions
}

/// What is sent to an address: the destination is at byte 16 of an IPv4 header.
fn to(address: Ipv4Addr) -> Vec<Vec<u8>> {
    vec![payload(1, 16, 4), equals(&address.octets())]
}

/// What becomes of packets from an address: the source is at byte 12 of an IPv4 header.
fn obstruction(Obstacle { from, delay }: &Obstacle, queue: Queue) -> Vec<Vec<u8>> {
    let mut expressions = vec![payload(1, 12, 4), equals(&from.octets())];
    let Some(delay) = delay else {
        // NF_DROP.
        let verdict = nested(2, &nested(2, &number(1, 0)));
        expressions.push(expression("immediate", &[number(1, VERDICT_REGISTER), verdict]));
        return expressions;
    };
    let mark = u32::try_from(delay.as_micros()).unwrap_or(u32::MAX);
    expressions.push(immediate(ADDRESS_REGISTER, &mark.to_le_bytes()));
    // NFT_META_MARK, from the register.
    expressions.push(expression("meta", &[number(2, 3), number(3, ADDRESS_REGISTER)]));
    expressions.push(match queue {
        // To the queue 0, the only one.
        Queue::Expression => expression("queue", &[attribute(1, &[0; 2]), attribute(2, &1_u16.to_be_bytes())]),
        // The same: `struct xt_NFQ_info` of revision 0, filled up to eight bytes.
        Queue::Target => expression("target", &[text(1, "NFQUEUE"), number(2, 0), attribute(3, &[0; 8])]),
    });
    expressions
}

/// "Port unreachable", which the sender sees as "connection refused".
fn refusal() -> Vec<u8> {
    expression("reject", &[number(1, 0), attribute(2, &[3])])
}

/// Loads bytes of the network header (1) or the transport header (2) into register 1.
fn payload(base: u32, offset: u32, length: u32) -> Vec<u8> {
    expression("payload", &[number(1, 1), number(2, base), number(3, offset), number(4, length)])
}

/// Goes on only where register 1 holds these bytes.
fn equals(bytes: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, 1), number(2, 0), nested(3, &attribute(1, bytes))])
}

fn immediate(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression("immediate", &[number(1, register), nested(2, &attribute(1, bytes))])
}

/// An element of a list of expressions.
fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text(1, name), nested(2, &attributes.concat())].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::docker::netlink::headers;

    fn route(targets: &[(Ipv4Addr, u16)]) -> Route {
        let address = Ipv4Addr::new(172, 20, 255, 254);
        Route { address, port: 80, protocol: 6, targets: targets.to_vec() }
    }

    fn of_routes(routes: &[Route]) -> Vec<u8> {
        batch(&Rules { routes: routes.to_vec(), obstacles: Vec::new() }, Queue::Expression)
    }

    fn of_obstacle(delay: Option<Duration>, queue: Queue) -> Vec<u8> {
        let obstacles = vec![Obstacle { from: Ipv4Addr::new(172, 20, 0, 7), delay }];
        batch(&Rules { routes: Vec::new(), obstacles }, queue)
    }

    fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
        bytes.windows(wanted.len()).any(|window| window == wanted)
    }

    #[test]
    fn a_batch_replaces_all_rules_at_once() {
        let targets = [(Ipv4Addr::new(172, 20, 0, 2), 8080), (Ipv4Addr::new(172, 20, 0, 3), 8080)];
        let kinds =
            |routes: &[Route]| headers(&of_routes(routes)).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
        let start = [&[BATCH_BEGIN, NEW_TABLE][..], &[NEW_CHAIN; 3], &[DELETE_RULE; 3]].concat();
        let end = [DELETE_CHAIN, BATCH_END];
        assert_eq!(kinds(&[]), [&start[..], &end].concat());
        // A rule for each target, and one that refuses; the latter alone where no target is ready.
        assert_eq!(kinds(&[route(&targets)]), [&start[..], &[NEW_RULE; 3], &end].concat());
        assert_eq!(kinds(&[route(&[])]), [&start[..], &[NEW_RULE], &end].concat());
        assert!(
            headers(&of_routes(&[route(&targets)])).iter().all(|(_, flags, length)| flags & 1 == 1 && length % 4 == 0)
        );
    }

    /// As `nft --debug=mnl add rule ip e2e translate ip daddr 172.20.255.254 tcp dport 80 dnat to 172.20.0.2:8080` writes its parts.
    #[test]
    fn a_rule_holds_addresses_and_ports_in_the_order_of_the_network() {
        let rule = translation(&route(&[]), 1, (Ipv4Addr::new(172, 20, 0, 2), 8080)).concat();
        let holds = |bytes: &[u8]| holds(&rule, bytes);
        assert!(holds(&[8, 0, 1, 0, 172, 20, 255, 254]), "{rule:?}");
        assert!(holds(&[6, 0, 1, 0, 0, 80, 0, 0]), "{rule:?}");
        assert!(holds(&[8, 0, 1, 0, 172, 20, 0, 2]), "{rule:?}");
        assert!(holds(&[6, 0, 1, 0, 0x1f, 0x90, 0, 0]), "{rule:?}");
        assert!(!holds(b"numgen"), "the last target takes what is left");
    }

    #[test]
    fn what_arrives_from_an_address_is_dropped_or_waits() {
        let from = [8, 0, 1, 0, 172, 20, 0, 7];
        let lost = of_obstacle(None, Queue::Expression);
        assert!(holds(&lost, &from) && holds(&lost, b"immediate") && !holds(&lost, b"meta"), "{lost:?}");
        let half_a_second = Some(Duration::from_millis(500));
        let late = of_obstacle(half_a_second, Queue::Expression);
        assert!(holds(&late, &from) && holds(&late, &500_000_u32.to_le_bytes()) && holds(&late, b"queue"), "{late:?}");
        assert!(holds(&of_obstacle(half_a_second, Queue::Target), b"NFQUEUE"));
    }
}
