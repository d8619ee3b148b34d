//! The process that holds a pod's network open while its containers come and go. It does nothing; a pod's sandbox is removed by
//! force, so it need not listen to signals. Without any library it is a kilobyte that starts at once.

#![no_std]
#![no_main]

use core::{arch::asm, panic::PanicInfo};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    loop {
        wait();
    }
}

/// `ppoll` of nothing and without a time: it ends with a signal only.
#[cfg(target_arch = "x86_64")]
fn wait() {
    // SAFETY: the call reads and writes no memory of this program.
    unsafe {
        asm!("syscall", inlateout("rax") 271_i64 => _, in("rdi") 0, in("rsi") 0, in("rdx") 0, in("r10") 0,
            out("rcx") _, out("r11") _, options(nostack));
    }
}

/// The same.
#[cfg(target_arch = "aarch64")]
fn wait() {
    // SAFETY: as above.
    unsafe {
        asm!("svc 0", in("x8") 73, inlateout("x0") 0_i64 => _, in("x1") 0, in("x2") 0, in("x3") 0, options(nostack));
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
