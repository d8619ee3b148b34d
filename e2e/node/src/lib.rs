//! What a kubelet does: [`probe`] sends one probe byte for byte as a kubelet would, [`node`] runs pods on whatever can start
//! containers, [`doctor`] explains why a probe fails. What follows from a probe is decided by [`e2e_kubelet`].

pub mod doctor;
mod greeting;
mod grpc;
mod http;
pub mod node;
pub mod poll;
pub mod probe;
pub mod request;
mod response;

pub use http::round_ms;
