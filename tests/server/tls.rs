//! Certificates: self-signed ones, and files that change while the server runs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use attache::config::{Config, Overrides};
use attache::server::Server;
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{JOINS, eventually, folder, on_free_port, write};

/// Takes any certificate: the test looks at it afterwards.
#[derive(Debug)]
struct TakesAny;

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn client() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

/// The server's certificate.
async fn certificate(address: SocketAddr) -> CertificateDer<'static> {
    let config = client()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesAny))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect("any.example".try_into().unwrap(), stream)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

/// `/healthz` over TLS, by a client that trusts this certificate and wants this name.
async fn health(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    name: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = client().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn write_pair(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(&folder.join("key.pem"), &made.signing_key.serialize_pem());
    write(&folder.join("certificate.pem"), &made.cert.pem());
}

#[tokio::test]
async fn a_self_signed_certificate_is_good_for_the_names_of_this_machine() {
    let folder = folder(JOINS);
    let overrides = Overrides {
        self_signed: true,
        ..on_free_port()
    };
    let mut config = Config::load(None, overrides).unwrap();
    config.server.state = folder.path().join("state");
    let server = Server::start(config, folder.path().join("worker"))
        .await
        .unwrap();
    assert!(server.urls()[0].starts_with("https://127.0.0.1:"));
    let trusted = certificate(server.address()).await;
    for name in ["localhost", "127.0.0.1"] {
        let answer = health(server.address(), &trusted, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert!(
        health(server.address(), &trusted, "other.example")
            .await
            .is_err()
    );

    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "plain HTTP is not answered");
    server.stop().await;
}

#[tokio::test]
async fn certificates_that_change_on_disk_are_put_to_use_and_bad_ones_are_not() {
    let folder = folder(JOINS);
    write_pair(folder.path());
    let text = "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
    let mut config = Config::parse(
        text,
        Some(&folder.path().join("attache.toml")),
        on_free_port(),
    )
    .unwrap();
    config.server.state = folder.path().join("state");
    let server = Server::start(config, folder.path().join("worker"))
        .await
        .unwrap();
    let address = server.address();
    let first = certificate(address).await;
    assert!(
        health(address, &first, "localhost")
            .await
            .unwrap()
            .contains("200 OK")
    );

    write(&folder.path().join("key.pem"), "no key");
    // Long enough for two looks; the old certificate serves all the while.
    for _ in 0..30 {
        assert_eq!(certificate(address).await, first);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    write_pair(folder.path());
    let second = eventually("the new certificate", || async {
        let now = certificate(address).await;
        (now != first).then_some(now)
    })
    .await;
    assert!(
        health(address, &second, "localhost")
            .await
            .unwrap()
            .contains("200 OK")
    );
    server.stop().await;
}
