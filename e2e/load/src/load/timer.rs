//! A timer without the runtime's grain of a millisecond: [`PreciseTimer`].

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel, which the runtime waits for as for a socket.
pub(super) struct PreciseTimer(AsyncFd<OwnedFd>);

impl PreciseTimer {
    /// Must be made within a runtime.
    #[expect(
        unsafe_code,
        reason = "the runtime's safe constructors are deprecated, since it cannot know who owns a descriptor"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: the descriptor is open and owned by the value that is registered, and nothing takes it out.
        Ok(Self(unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE)? }))
    }

    /// Waits until a time; not at all when it has passed.
    pub(super) async fn sleep_until(&self, wake: Instant) -> io::Result<()> {
        loop {
            // Computed from the time itself for each wait, so that no error adds up.
            let left = wake.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            let mut guard = self.0.readable().await?;
            let mut expirations = [0; 8];
            // An earlier, cancelled expiration may wake it too early, which the loop detects.
            let _ = guard.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut expirations)?));
        }
    }
}
