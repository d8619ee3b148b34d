//! HTTPS: the server's certificate is checked, and what is wrong with it is a counted outcome.

use std::net::SocketAddr;
use std::sync::Arc;

use e2e_load::load::{self, Error, Failure, Outcome, Settings, Tls, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::engine::{get, settings};
use crate::servers::OK;

/// Made by openssl for these tests, for `localhost` and 127.0.0.1 and a hundred years; its authority's key is lost.
const AUTHORITY: &str = include_str!("tls/authority.pem");
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");

async fn https() -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 1024];
                while let Ok(1..) = stream.read(&mut request).await {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
    address
}

async fn settings_with(server_name: &str, trust: Trust) -> Settings {
    Settings { tls: Some(Tls { server_name: server_name.to_owned(), trust }), ..settings(https().await, 2, 300) }
}

#[tokio::test]
async fn a_trusted_server_is_measured() {
    for (name, trust) in [
        ("localhost", Trust::Authorities(AUTHORITY.to_owned())),
        ("127.0.0.1", Trust::Authorities(AUTHORITY.to_owned())),
        ("other.test", Trust::Anybody),
    ] {
        let result = load::run(settings_with(name, trust).await, get().expect_body("OK")).await.unwrap();
        assert_eq!((result.measured.errors, result.connections.opened), (0, 2), "{name}: {:?}", result.first_errors);
        assert!(result.measured.succeeded > 10, "{:?}", result.measured);
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_counted() {
    for (name, trust, word) in [
        ("other.test", Trust::Authorities(AUTHORITY.to_owned()), "other.test"),
        ("localhost", Trust::System, "UnknownIssuer"),
    ] {
        let result = load::run(settings_with(name, trust).await, get()).await;
        if matches!(result, Err(Error::Tls(_))) {
            // A machine without any authority cannot check anybody.
            assert_eq!(word, "UnknownIssuer");
            continue;
        }
        let result = result.unwrap();
        assert_eq!(result.measured.by_error[&Outcome::Failure(Failure::Tls)], result.measured.requests);
        assert_eq!((result.measured.succeeded, result.connections.opened), (0, 0));
        assert!(result.first_errors[0].detail.contains(word), "{:?}", result.first_errors);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_counted() {
    let address = crate::servers::answering(|_, _| OK.to_owned()).await;
    let tls = Tls { server_name: "localhost".to_owned(), trust: Trust::Anybody };
    let settings = Settings {
        tls: Some(tls),
        request_timeout: std::time::Duration::from_millis(200),
        ..settings(address, 1, 300)
    };
    let result = load::run(settings, get()).await.unwrap();
    assert!(result.measured.requests > 0 && result.measured.succeeded == 0, "{:?}", result.measured);
}

#[tokio::test]
async fn authorities_that_are_none_are_refused() {
    let none = settings_with("localhost", Trust::Authorities("no PEM".to_owned())).await;
    let error = load::run(none, get()).await.unwrap_err();
    assert_eq!(error.to_string(), "no CA certificate in the given PEM text");
    let error = load::run(settings_with("a b", Trust::Anybody).await, get()).await.unwrap_err();
    assert!(error.to_string().starts_with("\"a b\" is neither a DNS name nor an IP address"), "{error}");
}
