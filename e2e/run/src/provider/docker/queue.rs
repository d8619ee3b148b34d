//! How the program of a sandbox asks the kernel for packets that are to arrive later. Messages and attributes as
//! `linux/netfilter/nfnetlink_queue.h` numbers them. Pure. Main function: [`listen`].

use super::netlink::{ACKNOWLEDGE, Messages, attribute, number};

/// NFQNL_MSG_CONFIG of the subsystem NFNL_SUBSYS_QUEUE.
const CONFIG: u16 = 0x302;
/// How many packets may wait at once; as many as the program has room for.
const LENGTH: u32 = 1 << 16;
/// NFQA_CFG_F_GSO: large packets come as they are, not cut to the size of the wire.
const LARGE: u32 = 4;

/// The message after which its sender gets what rules put into the queue 0.
pub(super) fn listen() -> Vec<u8> {
    let attributes = [
        // NFQNL_CFG_CMD_BIND.
        attribute(1, &[1, 0, 0, 0]),
        // Nothing (four bytes) of a packet's content, but its id and mark: NFQNL_COPY_META.
        attribute(2, &[0, 0, 0, 0, 1]),
        number(3, LENGTH),
        number(4, LARGE),
        number(5, LARGE),
    ];
    let mut messages = Messages::default();
    messages.push(CONFIG, ACKNOWLEDGE, 0, 0, &attributes.concat());
    messages.bytes()
}
