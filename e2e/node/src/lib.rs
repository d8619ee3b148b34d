//! A kubelet's actions: [`probe`] sends one probe byte for byte like a kubelet, [`node`] runs pods on any runtime, [`doctor`]
//! explains failing probes. [`e2e_kubelet`] makes the decisions.

pub mod doctor;
mod greeting;
mod grpc;
mod http;
pub mod node;
mod opening;
pub mod poll;
pub mod probe;
pub mod request;
mod response;
pub mod sockets;
mod target;

pub use http::round_ms;
