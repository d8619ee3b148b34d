//! A kubelet's decisions and messages, as pure code: [`worker`] reacts to probe results, [`snapshot`] is the state of pods,
//! [`simulate`] and [`predict`] run containers in virtual time, [`lint`] checks manifests without a run.

mod backoff;
mod cause;
pub mod diagnosis;
pub mod exchange;
pub mod lint;
pub mod observation;
pub mod predict;
pub mod profile;
pub mod protocol;
pub mod simulate;
pub mod snapshot;
pub mod status;
pub mod worker;
