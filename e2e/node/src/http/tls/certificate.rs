//! A client certificate for an experiment. Main function: [`self_signed`].

use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

/// For `client.invalid`, a name that nobody has (RFC 2606), and for a hundred years. The key beside it protects nothing.
const CERTIFICATE: &[u8] = include_bytes!("client.der");
const KEY: &[u8] = include_bytes!("client-key.der");

/// A self-signed certificate with its key.
pub(super) fn self_signed() -> Option<Arc<CertifiedKey>> {
    static READ: OnceLock<Option<Arc<CertifiedKey>>> = OnceLock::new();
    let read = || {
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(KEY).into()).ok()?;
        Some(Arc::new(CertifiedKey::new(vec![CertificateDer::from(CERTIFICATE)], key)))
    };
    READ.get_or_init(read).clone()
}
