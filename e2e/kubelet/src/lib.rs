//! A kubelet's decisions and messages, as pure code: [`worker`] decides what follows from each probe, [`snapshot`] is the state of
//! pods, [`simulate`] and [`predict`] play a container's life in virtual time, [`lint`] checks manifests alone.

mod backoff;
mod cause;
pub mod diagnosis;
pub mod lint;
pub mod observation;
pub mod predict;
pub mod profile;
pub mod protocol;
pub mod simulate;
pub mod snapshot;
pub mod status;
pub mod worker;
