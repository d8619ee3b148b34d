//! The only wait loop: repeats a check until success or a deadline; the error contains the last state. Main function: [`until`].

use std::{future::Future, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout_at};

/// The result of one check.
#[derive(Debug)]
pub enum Look<T> {
    /// Success.
    Done(T),
    /// Not yet, with the observed state.
    NotYet(String),
}

/// An error is a state that may pass.
impl<T, E: std::fmt::Display> From<Result<T, E>> for Look<T> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::NotYet(error.to_string()), Self::Done)
    }
}

/// The deadline passed, possibly during a check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} not there after {}; last seen: {last}", e2e_plan::duration::human(*.after))]
pub struct TimedOut {
    /// The awaited thing, as a noun phrase.
    pub what: String,
    /// The limit.
    pub after: Duration,
    /// The last observed state.
    pub last: String,
}

/// Checks every `period` until [`Look::Done`], up to `limit`. A hanging check ends at the deadline too.
pub async fn until<T, F, Fut>(what: &str, limit: Duration, period: Duration, mut look: F) -> Result<T, TimedOut>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Look<T>>,
{
    let deadline = Instant::now() + limit;
    let mut last = "nothing, the first look did not end".to_owned();
    loop {
        match timeout_at(deadline, look()).await {
            Ok(Look::Done(value)) => return Ok(value),
            Ok(Look::NotYet(status)) => last = status,
            Err(_) => break,
        }
        if Instant::now() + period >= deadline {
            break;
        }
        sleep(period).await;
    }
    Err(TimedOut { what: what.to_owned(), after: limit, last })
}

/// A tick each `period`, for work without an end; a late one moves those after it.
pub fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Does something at each tick, until it is dropped.
pub async fn every(period: Duration, mut work: impl AsyncFnMut()) {
    let mut ticks = ticks(period);
    loop {
        ticks.tick().await;
        work().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn returns_at_once_when_it_is_so() {
        let mut looks = 0;
        let value = until("three", Duration::from_secs(9), Duration::from_secs(1), || {
            looks += 1;
            let look = if looks == 3 { Look::Done(looks) } else { Look::NotYet(format!("{looks}")) };
            async { look }
        });
        assert_eq!(value.await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_names_the_last_status() {
        let error = until::<(), _, _>("the answer", Duration::from_secs(2), Duration::from_secs(1), || async {
            Look::NotYet("HTTP 503".to_owned())
        });
        assert_eq!(error.await.unwrap_err().to_string(), "the answer not there after 2.0 s; last seen: HTTP 503");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_ends_at_the_deadline() {
        let error = until::<(), _, _>("it", Duration::from_secs(2), Duration::from_secs(1), std::future::pending);
        assert!(error.await.unwrap_err().last.contains("first look did not end"));
    }
}
