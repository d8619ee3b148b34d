//! The process that holds a pod's network open while its containers come and go, and carries out what the run says about that network:
//! rules for addresses of Services, and the names in `/etc/hosts`. For planned faults it holds packets back and fills volumes. The run
//! thinks, this program only passes on: without any library it is a few kilobytes that start at once. A pod's sandbox is removed by force,
//! so it need not listen to signals.
//!
//! An order on standard input is its kind and its length, each four bytes with the lowest first, and so many bytes. The answer on standard
//! output is an error number, four bytes, zero for success. The kinds are those of [`orders`].

#![no_std]
#![no_main]

mod orders;

use core::{
    arch::{asm, global_asm},
    panic::PanicInfo,
};

use orders::VOLUMES;

/// The longest order. The kernel's limit for one message is lower.
const CAPACITY: usize = 256 * 1024;
/// What an order is too long for.
const TOO_LONG: i32 = 90;

/// Where orders are read to. Only the one thread of this program uses it.
static mut BUFFER: [u8; CAPACITY] = [0; CAPACITY];
/// The same.
static mut OPEN: Open = Open { netfilter: -1, queue: -1, fills: [-1; VOLUMES] };
/// The same.
static mut HELD: Held =
    Held { packets: [Packet { due: 0, id: 0 }; HELD_MAX], first: 0, count: 0, message: [0; MESSAGE_WORDS] };
/// How many packets may wait at once; a power of two.
const HELD_MAX: usize = 1 << 16;
/// The longest message about a packet, of which most have a hundred bytes.
const MESSAGE_WORDS: usize = 256;
/// EBUSY, EINVAL, and ENOBUFS of a socket that has lost messages.
const BUSY: i32 = 16;
const INVALID: i32 = 22;
const LOST: isize = -105;

/// The numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const SETSOCKOPT: usize = 54;
    pub(crate) const FTRUNCATE: usize = 77;
    pub(crate) const FSTATFS: usize = 138;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const FALLOCATE: usize = 285;
    /// O_DIRECTORY, which differs too.
    pub(crate) const DIRECTORY: usize = 0o200_000;
}

/// The same.
#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const FSTATFS: usize = 44;
    pub(crate) const FTRUNCATE: usize = 46;
    pub(crate) const FALLOCATE: usize = 47;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const SENDTO: usize = 206;
    pub(crate) const RECVFROM: usize = 207;
    pub(crate) const SETSOCKOPT: usize = 208;
    /// O_DIRECTORY, which differs too.
    pub(crate) const DIRECTORY: usize = 0o40_000;
}

// Functions want the stack as a call leaves it, which the kernel does not.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "and rsp, -16", "call {work}", "ud2", work = sym work);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "bl {work}", "brk 1", work = sym work);

/// A system call; a negative result is an error.
#[cfg(target_arch = "x86_64")]
fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: callers give addresses of memory that is theirs for as long as the call takes.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], in("r8") arguments[4], in("r9") arguments[5],
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") arguments[0] as isize => result, in("x1") arguments[1],
            in("x2") arguments[2], in("x3") arguments[3], in("x4") arguments[4], in("x5") arguments[5],
            options(nostack));
    }
    result
}

extern "C" fn work() -> ! {
    // SAFETY: nothing else refers to them.
    let (open, held) = unsafe { (&mut *(&raw mut OPEN), &mut *(&raw mut HELD)) };
    open.netfilter = netlink();
    let mut orders = 0;
    loop {
        let time = held.release(open.queue);
        // Two pollfd: a file, negative where there is none, POLLIN (1) in the lower half of the next number, and what was seen in its upper.
        let mut files = [[orders, 1], [open.queue as i32, 1]];
        // Without a time it ends with a file or a signal only.
        let time = time.as_ref().map_or(0, |time| &raw const *time as usize);
        call(number::PPOLL, [&raw mut files as usize, 2, time, 0, 0, 0]);
        if files[1][1] >> 16 != 0 {
            held.receive(open.queue);
        }
        if files[0][1] >> 16 != 0 && !open.serve() {
            // No more can come.
            orders = -1;
        }
    }
}

/// A socket to netfilter, or an error: AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER.
fn netlink() -> isize {
    call(number::SOCKET, [16, 0o2000003, 12, 0, 0, 0])
}

/// What this program has open beside its standard streams; negative where it has not.
struct Open {
    netfilter: isize,
    queue: isize,
    fills: [i32; VOLUMES],
}

impl Open {
    /// Carries the next order out; false where no more can come.
    fn serve(&mut self) -> bool {
        let buffer = &raw mut BUFFER as usize;
        let mut order = [0_u32; 2];
        if !read(&raw mut order as usize, 8) {
            return false;
        }
        let (kind, length) = (order[0], order[1] as usize);
        // What is too long is read too, so that the next order is found.
        let mut left = length;
        while left > CAPACITY {
            if !read(buffer, CAPACITY) {
                return false;
            }
            left -= CAPACITY;
        }
        if !read(buffer, left) {
            return false;
        }
        let error = match kind {
            _ if length > CAPACITY => TOO_LONG,
            orders::RULES => rules(self.netfilter, buffer, length),
            orders::NAMES => names(buffer, length),
            orders::HOLD => self.listen(buffer, length),
            orders::FILL => self.fill(buffer),
            orders::RELEASE => self.give_back(buffer),
            _ => INVALID,
        };
        call(number::WRITE, [1, &raw const error as usize, 4, 0, 0, 0]);
        true
    }

    /// Asks for packets, once.
    fn listen(&mut self, buffer: usize, length: usize) -> i32 {
        if self.queue >= 0 {
            return 0;
        }
        let socket = netlink();
        if socket < 0 {
            return -socket as i32;
        }
        // SOL_SOCKET, SO_RCVBUFFORCE: room for thousands of packets that come at once. With less, some are lost.
        let size = 4_u32 << 20;
        call(number::SETSOCKOPT, [socket as usize, 1, 33, &raw const size as usize, 4, 0]);
        let error = rules(socket, buffer, length);
        if error == 0 {
            self.queue = socket;
        } else {
            call(number::CLOSE, [socket as usize, 0, 0, 0, 0, 0]);
        }
        error
    }

    /// The place of the volume that an order names.
    fn place(&mut self, buffer: usize) -> Option<&mut i32> {
        // SAFETY: the buffer is longer.
        let number = unsafe { (buffer as *const u32).read_unaligned() };
        self.fills.get_mut(number as usize)
    }

    /// Takes what is left of a volume with a file that has no name, and that is gone when it is closed.
    fn fill(&mut self, buffer: usize) -> i32 {
        let Some(place) = self.place(buffer) else { return INVALID };
        if *place >= 0 {
            return BUSY;
        }
        // AT_FDCWD, O_TMPFILE | O_CLOEXEC | O_RDWR.
        let flags = 0o20_000_000 | number::DIRECTORY | 0o2_000_002;
        let file = call(number::OPENAT, [-100_isize as usize, buffer + 4, flags, 0o600, 0, 0]);
        if file < 0 {
            return -file as i32;
        }
        // A statfs: its second number is the size of a block, its fifth how many are left.
        let mut space = [0_usize; 15];
        let known = call(number::FSTATFS, [file as usize, &raw mut space as usize, 0, 0, 0, 0]);
        if known < 0 {
            call(number::CLOSE, [file as usize, 0, 0, 0, 0, 0]);
            return -known as i32;
        }
        let (mut taken, mut more) = (0, space[1] * space[4]);
        while more >= 4096 {
            match call(number::FALLOCATE, [file as usize, 0, taken, more, 0, 0]) {
                0 => taken += more,
                _ => more /= 2,
            }
        }
        *place = file as i32;
        0
    }

    fn give_back(&mut self, buffer: usize) -> i32 {
        let Some(place) = self.place(buffer) else { return INVALID };
        call(number::CLOSE, [*place as usize, 0, 0, 0, 0, 0]);
        *place = -1;
        0
    }
}

/// A packet that waits.
#[derive(Clone, Copy)]
struct Packet {
    /// When it goes on, in nanoseconds.
    due: u64,
    /// Its id as the kernel writes it.
    id: u32,
}

/// A ring of the packets that wait, the first one to go on first.
struct Held {
    packets: [Packet; HELD_MAX],
    first: usize,
    count: usize,
    message: [u32; MESSAGE_WORDS],
}

impl Held {
    fn at(&mut self, index: usize) -> &mut Packet {
        &mut self.packets[(self.first + index) & (HELD_MAX - 1)]
    }

    /// Keeps a packet, behind those that are due before it: all of them, unless pods have delays of their own.
    fn keep(&mut self, packet: Packet) {
        let mut index = self.count;
        while index > 0 && self.at(index - 1).due > packet.due {
            *self.at(index) = *self.at(index - 1);
            index -= 1;
        }
        *self.at(index) = packet;
        self.count += 1;
    }

    /// Has all packets go on that are due; returns how long the next one still waits, as seconds and nanoseconds.
    fn release(&mut self, queue: isize) -> Option<[u64; 2]> {
        while self.count > 0 {
            let now = now();
            let Packet { due, id } = *self.at(0);
            if due > now {
                let left = due - now;
                return Some([left / 1_000_000_000, left % 1_000_000_000]);
            }
            accept(queue, id);
            self.first = (self.first + 1) & (HELD_MAX - 1);
            self.count -= 1;
        }
        None
    }

    /// Takes the packets that the kernel has for this program now.
    fn receive(&mut self, queue: isize) {
        loop {
            let message = &raw mut self.message as usize;
            // MSG_DONTWAIT. The kernel says once that it had no room for some packets, which are lost.
            let got = call(number::RECVFROM, [queue as usize, message, MESSAGE_WORDS * 4, 0x40, 0, 0]);
            if got == LOST {
                continue;
            }
            if got <= 0 {
                return;
            }
            // NFQNL_MSG_PACKET of the queue's subsystem; everything else answers verdicts.
            if self.message[1] & 0xffff != 0x300 {
                continue;
            }
            let Some((id, micros)) = packet(&self.message, got as usize / 4) else { continue };
            match self.count < HELD_MAX {
                true => self.keep(Packet { due: now() + u64::from(micros) * 1000, id }),
                false => accept(queue, id),
            }
        }
    }
}

/// Id and mark of a packet, from the attributes behind the headers of a message that is so many words long.
fn packet(message: &[u32], words: usize) -> Option<(u32, u32)> {
    let (mut id, mut mark, mut at) = (None, 0, 5);
    while at < words {
        let (length, kind) = (*message.get(at)? as usize & 0xffff, *message.get(at)? >> 16);
        match kind & 0x3fff {
            // NFQA_PACKET_HDR begins with the id.
            1 => id = Some(*message.get(at + 1)?),
            // NFQA_MARK.
            3 => mark = u32::from_be(*message.get(at + 1)?),
            _ => {}
        }
        if length < 4 {
            return None;
        }
        at += length.div_ceil(4);
    }
    Some((id?, mark))
}

/// Has a packet go on, without its mark.
fn accept(queue: isize, id: u32) {
    // NFQNL_MSG_VERDICT to the queue 0; then NFQA_VERDICT_HDR with NF_ACCEPT, and NFQA_MARK.
    let verdict = [40, 0x1_0301, 0, 0, 0, 0x2_000c, 1_u32.to_be(), id, 0x3_0008, 0];
    call(number::SENDTO, [queue as usize, &raw const verdict as usize, 40, 0, 0, 0]);
}

/// Nanoseconds of CLOCK_MONOTONIC.
fn now() -> u64 {
    let mut time = [0_u64; 2];
    call(number::CLOCK_GETTIME, [1, &raw mut time as usize, 0, 0, 0, 0]);
    time[0] * 1_000_000_000 + time[1]
}

/// Reads so many bytes; false where no more can come.
fn read(mut to: usize, mut left: usize) -> bool {
    while left > 0 {
        let got = call(number::READ, [0, to, left, 0, 0, 0]);
        match got {
            // EINTR: a stop and a continuation.
            -4 => {}
            ..=0 => return false,
            _ => {
                to += got as usize;
                left -= got as usize;
            }
        }
    }
    true
}

/// Gives the kernel a batch of messages. It has carried them out when the call returns, and tells each that failed.
fn rules(netfilter: isize, buffer: usize, length: usize) -> i32 {
    if netfilter < 0 {
        return -netfilter as i32;
    }
    let netfilter = netfilter as usize;
    let sent = call(number::SENDTO, [netfilter, buffer, length, 0, 0, 0]);
    let mut first = if sent < 0 { -sent as i32 } else { 0 };
    loop {
        // An nlmsghdr of 16 bytes, and the error in a nlmsgerr. MSG_DONTWAIT.
        let mut answer = [0_i32; 16];
        let got = call(number::RECVFROM, [netfilter, &raw mut answer as usize, 64, 0x40, 0, 0]);
        if got < 20 {
            return first;
        }
        // NLMSG_ERROR.
        if answer[1] & 0xffff == 2 && first == 0 {
            first = -answer[4];
        }
    }
}

/// Writes the names, for all containers of the pod: an engine gives them the sandbox's file.
fn names(buffer: usize, length: usize) -> i32 {
    let path = c"/etc/hosts".as_ptr() as usize;
    // AT_FDCWD, O_WRONLY | O_CLOEXEC.
    let file = call(number::OPENAT, [-100_isize as usize, path, 0o2000001, 0, 0, 0]);
    if file < 0 {
        return -file as i32;
    }
    // Readers find the old text or the new one: it is not emptied in between.
    let mut result = call(number::WRITE, [file as usize, buffer, length, 0, 0, 0]);
    if result >= 0 {
        result = call(number::FTRUNCATE, [file as usize, length, 0, 0, 0, 0]);
    }
    call(number::CLOSE, [file as usize, 0, 0, 0, 0, 0]);
    if result < 0 { -result as i32 } else { 0 }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        call(number::PPOLL, [0; 6]);
    }
}
