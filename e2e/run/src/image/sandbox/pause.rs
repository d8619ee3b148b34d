//! The process that holds a pod's network open while its containers come and go, and carries out what the run says about that network:
//! rules for addresses of Services, and the names in `/etc/hosts`. The run thinks, this program only passes on: without any library it
//! is a few kilobytes that start at once. A pod's sandbox is removed by force, so it need not listen to signals.
//!
//! An order on standard input is its kind (0 rules, 1 names) and its length, each four bytes with the lowest first, and so many bytes.
//! The answer on standard output is an error number, four bytes, zero for success.

#![no_std]
#![no_main]

use core::{
    arch::{asm, global_asm},
    panic::PanicInfo,
};

/// The longest order. The kernel's limit for one message is lower.
const CAPACITY: usize = 256 * 1024;
/// What an order is too long for.
const TOO_LONG: i32 = 90;

/// Where orders are read to. Only the one thread of this program uses it.
static mut BUFFER: [u8; CAPACITY] = [0; CAPACITY];

/// The numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const FTRUNCATE: usize = 77;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const PPOLL: usize = 271;
}

/// The same.
#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const FTRUNCATE: usize = 46;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const SENDTO: usize = 206;
    pub(crate) const RECVFROM: usize = 207;
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
    // AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER.
    let netfilter = call(number::SOCKET, [16, 0o2000003, 12, 0, 0, 0]);
    let buffer = &raw mut BUFFER as usize;
    loop {
        let mut order = [0_u32; 2];
        read(&raw mut order as usize, 8);
        let (kind, length) = (order[0], order[1] as usize);
        let mut error = if length > CAPACITY { TOO_LONG } else { 0 };
        // What is too long is read too, so that the next order is found.
        let mut left = length;
        while left > CAPACITY {
            read(buffer, CAPACITY);
            left -= CAPACITY;
        }
        read(buffer, left);
        if error == 0 {
            error = match kind {
                0 => rules(netfilter, buffer, length),
                _ => names(buffer, length),
            };
        }
        call(number::WRITE, [1, &raw const error as usize, 4, 0, 0, 0]);
    }
}

/// Reads so many bytes; waits for ever where no more can come.
fn read(mut to: usize, mut left: usize) {
    while left > 0 {
        let got = call(number::READ, [0, to, left, 0, 0, 0]);
        if got <= 0 {
            // EINTR: a stop and a continuation.
            if got != -4 {
                wait();
            }
            continue;
        }
        to += got as usize;
        left -= got as usize;
    }
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

/// `ppoll` of nothing and without a time: it ends with a signal only.
fn wait() {
    call(number::PPOLL, [0; 6]);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        wait();
    }
}
