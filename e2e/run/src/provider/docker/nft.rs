//! Addresses of Services as rules of a pod's network, in the kernel's own form: what kube-proxy writes for a node, for one pod.
//! Messages and attributes as `linux/netfilter/nf_tables.h` and `nfnetlink.h` number them. Pure. Main function: [`batch`].

use std::net::Ipv4Addr;

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

/// Our table in the pod's network.
const TABLE: &str = "e2e";
/// Translates what the pod sends to a Service's address.
const TRANSLATE: &str = "translate";
/// Refuses what stayed untranslated.
const REFUSE: &str = "refuse";

const NEW_TABLE: u16 = 0xa00;
const NEW_CHAIN: u16 = 0xa03;
const NEW_RULE: u16 = 0xa06;
const DELETE_RULE: u16 = 0xa08;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const REQUEST: u16 = 0x1;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
const IPV4: u8 = 2;
/// NF_INET_LOCAL_OUT: what processes of the pod send.
const LOCAL_OUT: u32 = 3;
const ADDRESS_REGISTER: u32 = 1;
const PORT_REGISTER: u32 = 2;

/// The messages that make a pod's rules equal to `routes`, as one transaction: connections that exist go on.
pub(super) fn batch(routes: &[Route]) -> Vec<u8> {
    let mut batch = Batch::default();
    batch.message(BATCH_BEGIN, 0, 0, &[]);
    batch.message(NEW_TABLE, CREATE, IPV4, &text(1, TABLE));
    // As kube-proxy: translation where the kernel translates (priority -100), refusal where it filters (0).
    for (chain, kind, priority) in [(TRANSLATE, "nat", -100_i32), (REFUSE, "filter", 0)] {
        let hook = [number(1, LOCAL_OUT), attribute(2, &priority.to_be_bytes())].concat();
        let chain = [text(1, TABLE), text(3, chain), nested(4, &hook), text(7, kind)].concat();
        batch.message(NEW_CHAIN, CREATE, IPV4, &chain);
    }
    for chain in [TRANSLATE, REFUSE] {
        batch.message(DELETE_RULE, 0, IPV4, &[text(1, TABLE), text(2, chain)].concat());
    }
    for route in routes {
        for (position, target) in route.targets.iter().enumerate() {
            batch.rule(TRANSLATE, &translation(route, route.targets.len() - position, *target));
        }
    }
    let mut addresses: Vec<Ipv4Addr> = routes.iter().map(|route| route.address).collect();
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        batch.rule(REFUSE, &[to(address), vec![refusal()]].concat());
    }
    batch.message(BATCH_END, 0, 0, &[]);
    batch.0
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

fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

fn nested(kind: u16, content: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, content)
}

/// Length and kind, lowest byte first as on every machine that engines run on, and the content, filled up to four bytes.
fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[derive(Default)]
struct Batch(Vec<u8>);

impl Batch {
    fn rule(&mut self, chain: &str, expressions: &[Vec<u8>]) {
        let rule = [text(1, TABLE), text(2, chain), nested(4, &expressions.concat())].concat();
        self.message(NEW_RULE, CREATE | APPEND, IPV4, &rule);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, attributes: &[u8]) {
        // Begin and end name the subsystem that the batch is for.
        let subsystem: u16 = if kind < 0xa00 { 10 } else { 0 };
        let length = u32::try_from(16 + 4 + attributes.len()).unwrap_or(u32::MAX);
        self.0.extend(length.to_le_bytes());
        self.0.extend(kind.to_le_bytes());
        self.0.extend((REQUEST | flags).to_le_bytes());
        // Sequence and sender: nobody matches answers with them.
        self.0.extend([0; 8]);
        self.0.extend([family, 0]);
        self.0.extend(subsystem.to_be_bytes());
        self.0.extend_from_slice(attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(targets: &[(Ipv4Addr, u16)]) -> Route {
        let address = Ipv4Addr::new(172, 20, 255, 254);
        Route { address, port: 80, protocol: 6, targets: targets.to_vec() }
    }

    /// Kind, flags and length of every message, which must follow each other without a gap.
    fn messages(bytes: &[u8]) -> Vec<(u16, u16, usize)> {
        let (mut found, mut rest) = (Vec::new(), bytes);
        while let [a, b, c, d, k, l, f, g, ..] = *rest {
            let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).expect("a length");
            found.push((u16::from_le_bytes([k, l]), u16::from_le_bytes([f, g]), length));
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "{rest:?}");
        found
    }

    #[test]
    fn a_batch_replaces_all_rules_at_once() {
        let targets = [(Ipv4Addr::new(172, 20, 0, 2), 8080), (Ipv4Addr::new(172, 20, 0, 3), 8080)];
        let kinds = |routes: &[Route]| messages(&batch(routes)).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
        let start = [BATCH_BEGIN, NEW_TABLE, NEW_CHAIN, NEW_CHAIN, DELETE_RULE, DELETE_RULE];
        assert_eq!(kinds(&[]), [&start[..], &[BATCH_END]].concat());
        // A rule for each target, and one that refuses; the latter alone where no target is ready.
        assert_eq!(kinds(&[route(&targets)]), [&start[..], &[NEW_RULE; 3], &[BATCH_END]].concat());
        assert_eq!(kinds(&[route(&[])]), [&start[..], &[NEW_RULE], &[BATCH_END]].concat());
        assert!(
            messages(&batch(&[route(&targets)]))
                .iter()
                .all(|(_, flags, length)| flags & REQUEST == 1 && length % 4 == 0)
        );
    }

    /// As `nft --debug=mnl add rule ip e2e translate ip daddr 172.20.255.254 tcp dport 80 dnat to 172.20.0.2:8080` writes its parts.
    #[test]
    fn a_rule_holds_addresses_and_ports_in_the_order_of_the_network() {
        let rule = translation(&route(&[]), 1, (Ipv4Addr::new(172, 20, 0, 2), 8080)).concat();
        let holds = |bytes: &[u8]| rule.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&[8, 0, 1, 0, 172, 20, 255, 254]), "{rule:?}");
        assert!(holds(&[6, 0, 1, 0, 0, 80, 0, 0]), "{rule:?}");
        assert!(holds(&[8, 0, 1, 0, 172, 20, 0, 2]), "{rule:?}");
        assert!(holds(&[6, 0, 1, 0, 0x1f, 0x90, 0, 0]), "{rule:?}");
        assert!(!holds(b"numgen"), "the last target takes what is left");
    }
}
