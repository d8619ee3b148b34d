//! The library for suites: the running system as a fixture, checks that leave records, and the run's control address.
//!
//! ```no_run
//! use e2e::{environment::Environment, fixture::environment, record::{Measured, check}};
//!
//! #[rstest::rstest]
//! #[tokio::test]
//! async fn web_answers(environment: Environment) {
//!     check(&environment, "web", "web_answers", async {
//!         let url = format!("http://{}/", environment.entrance()?.address);
//!         let status = reqwest::get(url).await?.status();
//!         Ok::<_, Box<dyn std::error::Error>>((format!("{status}"), Measured::Nothing))
//!     })
//!     .await;
//! }
//! ```

pub mod built_in;
pub mod control;
pub mod fixture;
pub mod prometheus;
pub mod record;
pub mod scenario;

pub use e2e_load::{agent, clock, load, scaling, self_check, stall, stats};
pub use e2e_plan::ProbeKind;
pub use e2e_report::environment;
pub use scenario::scenario;
