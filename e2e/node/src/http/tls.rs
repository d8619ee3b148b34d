//! TLS as a kubelet speaks it: no certificate is verified, HTTP/2 is offered, and no name is asked for at an IP address.
//! Main function: [`handshake`].

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use e2e_kubelet::observation::Kind;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use super::wire::{Failure, Wire};

/// A connection that has become TLS.
pub(super) struct Secured {
    pub(super) stream: TlsStream<Wire>,
    /// Whether the server picked HTTP/2.
    pub(super) http2: bool,
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// Shakes hands. `name` is a host name or an IP address, for which no SNI is sent (RFC 6066, section 3).
pub(super) async fn handshake(wire: Wire, name: &str, shown: &str) -> Result<Secured, Failure> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::new(Kind::InvalidRequest, format!("tls: {name:?} is no server name")))?;
    let heard = wire.heard();
    match TlsConnector::from(config(Arc::new(AnyCertificate))?).connect(name, wire).await {
        Ok(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Secured { stream, http2 })
        }
        Err(error) => Err(Failure::of_tls(&error, &heard.bytes(), shown)),
    }
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Kind::Unsupported, format!("tls: {error}")))?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Failure {
    /// What went wrong with TLS, in the handshake or later: a server may refuse a client only after it.
    pub(super) fn of_tls(error: &io::Error, heard: &[u8], shown: &str) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match tls {
            Some(Error::AlertReceived(alert)) => {
                let alert = alert_words(*alert);
                Self { alert: Some(alert.clone()), ..Self::new(Kind::Tls, format!("remote error: tls: {alert}")) }
            }
            Some(_) if heard.starts_with(b"HTTP/") => {
                Self::new(Kind::Tls, "http: server gave HTTP response to HTTPS client")
            }
            Some(Error::InvalidMessage(_)) => {
                Self::new(Kind::Tls, "tls: first record does not look like a TLS handshake")
            }
            Some(other) => Self::new(Kind::Tls, format!("tls: {other}")),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::new(Kind::Closed, "EOF"),
            None => Self::of_io("read", shown, error),
        }
    }
}

/// An alert as Go words it (`alertText` in crypto/tls/alert.go): mostly the name of RFC 8446 with blanks.
fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::ProtocolVersion => "protocol version not supported".to_owned(),
        AlertDescription::UnknownCA => "unknown certificate authority".to_owned(),
        AlertDescription::UnrecognisedName => "unrecognized name".to_owned(),
        AlertDescription::DecodeError => "error decoding message".to_owned(),
        AlertDescription::DecryptError => "error decrypting message".to_owned(),
        AlertDescription::InsufficientSecurity => "insufficient security level".to_owned(),
        AlertDescription::CertificateUnknown => "unknown certificate".to_owned(),
        AlertDescription::CertificateRevoked => "revoked certificate".to_owned(),
        AlertDescription::CertificateExpired => "expired certificate".to_owned(),
        AlertDescription::NoApplicationProtocol => "no application protocol".to_owned(),
        other => {
            let mut words = String::new();
            for c in format!("{other:?}").chars() {
                if c.is_ascii_uppercase() && !words.is_empty() {
                    words.push(' ');
                }
                words.push(c.to_ascii_lowercase());
            }
            words
        }
    }
}

/// Takes every certificate, as a kubelet does, but not a handshake whose signature is not that of the certificate.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// The DNS names for which a server's certificate is meant, from a handshake that goes no further than that.
pub(crate) async fn names_in_certificate(wire: Wire, name: &str) -> Vec<String> {
    let seen = Arc::new(Peek::default());
    if let (Ok(name), Ok(config)) = (ServerName::try_from(name.to_owned()), config(Arc::clone(&seen) as _)) {
        // It ends with the refusal of the certificate, which is all that was wanted.
        let _ = TlsConnector::from(config).connect(name, wire).await;
    }
    let der = seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    alternative_names(&der).unwrap_or_default()
}

/// Keeps the certificate and refuses it.
#[derive(Debug, Default)]
struct Peek(Mutex<Vec<u8>>);

impl ServerCertVerifier for Peek {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end_entity.to_vec();
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// The DNS names of the extension subjectAltName (RFC 5280, section 4.2.1.6): after its object identifier stands an octet
/// string with a sequence of names, of which those with tag 2 are DNS names.
fn alternative_names(der: &[u8]) -> Option<Vec<String>> {
    const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];
    let at = der.windows(SUBJECT_ALT_NAME.len()).position(|window| window == SUBJECT_ALT_NAME)?;
    let mut rest = &der[at + SUBJECT_ALT_NAME.len()..];
    if rest.first() == Some(&0x01) {
        // Whether the extension is critical.
        rest = element(rest)?.2;
    }
    let (_, octets, _) = element(rest)?;
    let (_, mut names, _) = element(octets)?;
    let mut found = Vec::new();
    while let Some((tag, name, after)) = element(names) {
        if tag == 0x82 {
            found.push(String::from_utf8_lossy(name).into_owned());
        }
        names = after;
    }
    Some(found)
}

/// The first element of DER: its tag, its content and what stands after it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_found() {
        let der = include_bytes!("../../../../fixtures/probed/cert.der");
        assert_eq!(alternative_names(der).unwrap(), ["app.example", "localhost"]);
    }

    proptest::proptest! {
        #[test]
        fn bytes_that_are_no_certificate_have_no_names(bytes: Vec<u8>) {
            let with_identifier = [&[0x06, 0x03, 0x55, 0x1d, 0x11], bytes.as_slice()].concat();
            let _ = alternative_names(&with_identifier);
        }
    }

    #[test]
    fn alerts_are_worded_as_go_words_them() {
        assert_eq!(alert_words(AlertDescription::HandshakeFailure), "handshake failure");
        assert_eq!(alert_words(AlertDescription::UnrecognisedName), "unrecognized name");
        assert_eq!(alert_words(AlertDescription::CertificateRequired), "certificate required");
    }
}
