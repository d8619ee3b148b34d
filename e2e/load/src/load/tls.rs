//! HTTPS: what a server's certificate is checked against, and the stream that carries requests. Main types: [`Tls`], [`Stream`].

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_util::either::Either;

/// That connections are encrypted, and how the server proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The name or address that the certificate must be for.
    pub server_name: String,
    /// Who may have signed it.
    pub trust: Trust,
}

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The authorities that the system trusts.
    System,
    /// Only the authorities in this text, in PEM.
    Authorities(String),
    /// Anybody's: the certificate is not checked.
    Anybody,
}

/// Why connections cannot be encrypted at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum TlsError {
    #[error("{0:?} is neither a DNS name nor an IP address, so no certificate can be for it")]
    Name(String),
    #[error("no CA certificate in {0}")]
    NoAuthorities(&'static str),
    #[error("cannot set up TLS: {0}")]
    Config(#[from] Error),
}

/// What is made of [`Tls`] once per run.
#[derive(Clone)]
pub(super) struct Connector {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// One client's connection, encrypted or not.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Tls {
    pub(super) fn connector(&self) -> Result<Connector, TlsError> {
        let name = ServerName::try_from(self.server_name.clone());
        let name = name.map_err(|_| TlsError::Name(self.server_name.clone()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let mut config = match self.trust.roots()? {
            Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
            None => {
                let verifier = Arc::new(Unchecked(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Connector { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

impl Trust {
    /// The authorities; `None` trusts every certificate.
    fn roots(&self) -> Result<Option<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        let source = match self {
            Self::Anybody => return Ok(None),
            Self::System => {
                // A bundle with one broken certificate is still useful, so that only what could be read counts.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                "the system's store"
            }
            Self::Authorities(pem) => {
                roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
                "the given PEM text"
            }
        };
        if roots.is_empty() { Err(TlsError::NoAuthorities(source)) } else { Ok(Some(roots)) }
    }
}

impl Connector {
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
        let encrypted = self.connector.connect(self.name.clone(), stream).await?;
        Ok(Either::Right(Box::new(encrypted)))
    }
}

/// Accepts every certificate, and still checks that the server holds its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
