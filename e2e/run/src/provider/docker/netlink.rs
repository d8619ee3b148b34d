//! Messages to the kernel's netfilter, as `linux/netlink.h` and `nfnetlink.h` lay them out. Pure. Main type: [`Messages`].

const REQUEST: u16 = 0x1;
/// The kernel answers success too.
pub(super) const ACKNOWLEDGE: u16 = 0x4;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;

/// Messages in the order in which the kernel gets them.
#[derive(Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    /// One more. `family` is an address family, `resource` what the message is about beside its kind.
    pub(super) fn push(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        let length = u32::try_from(16 + 4 + attributes.len()).unwrap_or(u32::MAX);
        self.0.extend(length.to_le_bytes());
        self.0.extend(kind.to_le_bytes());
        self.0.extend((REQUEST | flags).to_le_bytes());
        // Sequence and sender: nobody matches answers with them.
        self.0.extend([0; 8]);
        self.0.extend([family, 0]);
        self.0.extend(resource.to_be_bytes());
        self.0.extend_from_slice(attributes);
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn text(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

pub(super) fn number(kind: u16, number: u32) -> Vec<u8> {
    attribute(kind, &number.to_be_bytes())
}

pub(super) fn nested(kind: u16, content: &[u8]) -> Vec<u8> {
    attribute(kind | NESTED, content)
}

/// Length and kind, lowest byte first as on every machine that engines run on, and the content, filled up to four bytes.
pub(super) fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Kind, flags and length of every message, which must follow each other without a gap.
#[cfg(test)]
pub(super) fn headers(bytes: &[u8]) -> Vec<(u16, u16, usize)> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let [a, b, c, d, k, l, f, g, ..] = *rest {
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).expect("a length");
        found.push((u16::from_le_bytes([k, l]), u16::from_le_bytes([f, g]), length));
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "{rest:?}");
    found
}
