//! TLS like a kubelet's: no verification of certificates, HTTP/2 offered, no server name for an IP address. Main function:
//! [`handshake`].

mod algorithms;
mod certificate;
mod refused;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use e2e_kubelet::{observation::Kind, profile::Tolerance};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        AlertDescription, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
        client::{
            ResolvesClientCert,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        pki_types::{CertificateDer, ServerName, UnixTime},
        sign::CertifiedKey,
    },
};

use super::{
    Route,
    wire::{Failure, Heard, Wire},
};

/// What Go's client says when a server does not speak TLS.
pub(crate) const NOT_TLS: &str = "http: server gave HTTP response to HTTPS client";

pub(crate) struct Secured {
    pub(crate) stream: Encrypted,
    /// Whether the server chose HTTP/2.
    pub(crate) http2: bool,
    /// The connection's error; HTTP/2 keeps only its text.
    pub(crate) broken: Arc<Mutex<Option<Failure>>>,
}

pub(crate) struct Encrypted {
    stream: TlsStream<Wire>,
    shown_address: String,
    broken: Arc<Mutex<Option<Failure>>>,
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &read {
            let failure = Failure::of_tls(error, &[], &self.shown_address);
            *self.broken.lock() = Some(failure);
        }
        read
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The server's properties, kept even if the handshake fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    /// The DNS names in its certificate.
    pub(crate) names: Vec<String>,
    pub(crate) wants_certificate: bool,
}

/// Performs the handshake, offering these protocols. `name` is a host name, or an IP address without SNI (RFC 6066, section 3).
pub(crate) async fn handshake(
    wire: Wire,
    name: &str,
    protocols: &[&[u8]],
    shown_address: &str,
    route: &Route,
    heard: &Heard,
) -> (Shown, Result<Secured, Failure>) {
    let own = route.certificate.then(certificate::self_signed).flatten();
    let client = Arc::new(Client { shown: Mutex::default(), tolerance: route.tolerance, own });
    let secured = shake(wire, name, protocols, shown_address, &client, heard).await;
    let shown = client.shown.lock().clone();
    (shown, secured)
}

async fn shake(
    wire: Wire,
    name: &str,
    protocols: &[&[u8]],
    shown_address: &str,
    client: &Arc<Client>,
    heard: &Heard,
) -> Result<Secured, Failure> {
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::new(Kind::InvalidRequest, format!("tls: {name:?} is not a server name")))?;
    let builder = ClientConfig::builder_with_provider(algorithms::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Kind::Unsupported, format!("tls: {error}")))?;
    let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(client) as _;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.client_auth_cert_resolver = Arc::clone(client) as _;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    match TlsConnector::from(Arc::new(config)).connect(name, wire).await {
        Ok(stream) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let broken = Arc::default();
            let stream = Encrypted { stream, shown_address: shown_address.to_owned(), broken: Arc::clone(&broken) };
            Ok(Secured { stream, http2, broken })
        }
        Err(error) => Err(Failure::of_tls(&error, &heard.bytes(), shown_address)),
    }
}

/// A kubelet as a TLS client: accepts every certificate that Go can parse and has none, except in an experiment. Go also verifies that the
/// server holds the certificate's key. This client skips that check: it would need all of Go's signature algorithms, and only a broken server
/// fails it.
#[derive(Debug)]
struct Client {
    shown: Mutex<Shown>,
    tolerance: Tolerance,
    own: Option<Arc<CertifiedKey>>,
}

impl ServerCertVerifier for Client {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let names = webpki::EndEntityCert::try_from(end_entity)
            .map(|certificate| certificate.valid_dns_names().map(str::to_owned).collect());
        self.shown.lock().names = names.unwrap_or_default();
        let mut sent = std::iter::once(end_entity).chain(intermediates);
        match sent.find_map(|certificate| refused::refusal(certificate, self.tolerance)) {
            Some(text) => Err(Error::General(text)),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    /// `defaultSupportedSignatureAlgorithms` of Go 1.23.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::RSA_PKCS1_SHA1,
            SignatureScheme::ECDSA_SHA1_Legacy,
        ]
    }
}

impl ResolvesClientCert for Client {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.shown.lock().wants_certificate = true;
        self.own.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Failure {
    /// A TLS error, in the handshake or later: a server may refuse a client after the handshake.
    pub(super) fn of_tls(error: &io::Error, heard: &[u8], shown: &str) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match tls {
            Some(Error::AlertReceived(alert)) => {
                let alert = alert_words(*alert);
                Self { alert: Some(alert.clone()), ..Self::new(Kind::Tls, format!("remote error: tls: {alert}")) }
            }
            Some(_) if heard.starts_with(b"HTTP/") => Self::new(Kind::Tls, NOT_TLS),
            Some(Error::InvalidMessage(_)) => {
                Self::new(Kind::Tls, "tls: first record does not look like a TLS handshake")
            }
            Some(Error::General(text)) => Self::new(Kind::Tls, format!("tls: {text}")),
            Some(other) => Self::new(Kind::Tls, format!("tls: {other}")),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::new(Kind::Closed, "EOF"),
            None => Self::of_io("read", shown, error),
        }
    }
}

/// An alert in Go's words (`alertText` in crypto/tls/alert.go): mostly RFC 8446's name with blanks.
fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::BadCertificate => "bad certificate".to_owned(),
        AlertDescription::BadRecordMac => "bad record MAC".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_worded_as_go_words_them() {
        assert_eq!(alert_words(AlertDescription::HandshakeFailure), "handshake failure");
        assert_eq!(alert_words(AlertDescription::UnrecognisedName), "unrecognized name");
        assert_eq!(alert_words(AlertDescription::CertificateRequired), "certificate required");
    }
}
