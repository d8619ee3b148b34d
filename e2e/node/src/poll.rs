//! The only wait loop: ask until it is so, or until the deadline, and then say what was seen last.
//! Main function: [`until`].

use std::{fmt, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

/// What one look found.
#[derive(Debug)]
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet; the text says what was seen.
    NotYet(String),
}

/// The deadline passed, or a look itself took until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOut {
    /// What was waited for, as a noun phrase.
    pub what: String,
    /// How long.
    pub after: Duration,
    /// What the last look saw.
    pub last: String,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, after, last } = self;
        write!(f, "{what} not there after {}; last seen: {last}", e2e_plan::duration::human(*after))
    }
}

impl std::error::Error for TimedOut {}

/// Looks every `period` until a look is [`Look::Done`], for `limit` at most. A look that hangs ends at the deadline too.
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
