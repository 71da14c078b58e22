//! Certificates: those of the listening address, from files, reloaded when they change, or self-signed for trials; and
//! those that clients trust.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use tracing::{debug, error, info};

use crate::config::TlsConfig;

/// How often the files are looked at. New ones are taken when they stayed the same from one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a self-signed certificate is valid. Browsers distrust those of years.
const SELF_SIGNED_DAYS: i64 = 90;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{file}: {problem}")]
    File {
        /// Which.
        file: PathBuf,
        /// What was found, and what would be right.
        problem: String,
    },
    /// The certificate is not that of the key.
    #[error("{certificate} and {key} do not belong together: {source}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// No self-signed certificate could be made.
    #[error("cannot make a self-signed certificate: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// rustls does not take the settings.
    #[error("cannot set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Lets HTTP clients find ring; what others installed before stays.
pub fn install_ring() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Certificates that a client is to trust cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read certificates to trust from {}: {reason}", file.display())]
pub struct UntrustedError {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// How a client of attache speaks TLS: it trusts the system's certificates and those of the PEM file `ca`.
///
/// # Errors
/// [`UntrustedError`] when that file is not what it should be.
pub fn client_config(ca: Option<&Path>) -> Result<ClientConfig, UntrustedError> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (_, unusable) = roots.add_parsable_certificates(native.certs);
    debug!(
        unusable,
        errors = native.errors.len(),
        "system certificates read"
    );
    if let Some(file) = ca {
        let failed = |reason: String| UntrustedError {
            file: file.to_owned(),
            reason,
        };
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("there is no PEM block CERTIFICATE in it".to_owned()));
        }
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(
        clippy::expect_used,
        reason = "ring supports the default protocol versions"
    )]
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The certificate in use; the files' watcher puts new ones in.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.0.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

impl Current {
    fn replace(&self, new: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
    }
}

/// TLS for the listening address, and who looks after its files.
pub struct Tls {
    /// For the acceptor.
    pub server: Arc<ServerConfig>,
    /// To be run beside the server; absent for self-signed certificates.
    pub watcher: Option<Watcher>,
}

/// Loads or makes the certificate.
///
/// # Errors
/// A file is missing or wrong, or the two do not belong together.
pub fn load(config: &TlsConfig, listen: IpAddr) -> Result<Tls, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (current, files) = match config {
        TlsConfig::SelfSigned => (self_signed(listen, &provider)?, None),
        TlsConfig::Files { certificate, key } => {
            let files = Files {
                certificate: certificate.clone(),
                key: key.clone(),
            };
            (files.read(&provider)?, Some(files))
        }
    };
    let current = Arc::new(Current(RwLock::new(Arc::new(current))));
    let watcher = files.map(|files| Watcher {
        stamp: files.stamp(),
        files,
        current: Arc::clone(&current),
        provider: Arc::clone(&provider),
    });
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(current);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        server: Arc::new(server),
        watcher,
    })
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// When and how large the two files were.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let wrong = |file: &Path, problem: String| TlsError::File {
            file: file.to_owned(),
            problem,
        };
        let read = |file: &Path| {
            std::fs::read(file).map_err(|error| wrong(file, format!("cannot be read: {error}")))
        };

        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&read(&self.certificate)?)
                .collect::<Result<_, _>>()
                .map_err(|error| wrong(&self.certificate, format!("is not PEM: {error}")))?;
        if chain.is_empty() {
            let problem = "holds no certificate: expected -----BEGIN CERTIFICATE-----".to_owned();
            return Err(wrong(&self.certificate, problem));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| {
            wrong(
                &self.key,
                format!("holds no private key ({error}): expected -----BEGIN PRIVATE KEY-----"),
            )
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Mismatch {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

/// Looks at the files and puts new certificates to use.
pub struct Watcher {
    files: Files,
    stamp: Stamp,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
}

impl Watcher {
    /// Looks for ever; to be ended by dropping it.
    pub async fn run(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut last_look = self.stamp;
        loop {
            looks.tick().await;
            let look = self.files.stamp();
            let settled = look == last_look;
            last_look = look;
            if settled && look != self.stamp {
                self.stamp = look;
                self.reload();
            }
        }
    }

    fn reload(&self) {
        match self.files.read(&self.provider) {
            Ok(new) => {
                self.current.replace(new);
                info!(certificate = %self.files.certificate.display(), "the new certificate is in use");
            }
            Err(error) => {
                error!(%error, "the new certificate is not usable; the old one stays in use")
            }
        }
    }
}

/// A certificate for this machine's names and addresses.
fn self_signed(listen: IpAddr, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let mut params = CertificateParams::new(own_names(listen))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "attache, self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(SELF_SIGNED_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok(CertifiedKey::from_der(
        vec![certificate.der().clone()],
        key.into(),
        provider,
    )?)
}

/// The addresses of this machine's network interfaces.
pub fn own_addresses() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces.filter_map(address).collect()
}

/// `localhost`, the machine's name, and its addresses.
fn own_names(listen: IpAddr) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let hostname = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    // RFC 5280 4.2.1.6: a DNS name holds letters, digits, hyphens and dots; others would be refused whole.
    names.extend(hostname.filter(|name| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
    }));
    names.extend(
        own_addresses()
            .into_iter()
            .chain([listen])
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string()),
    );
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    fn load_files(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let files = TlsConfig::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        load(&files, IpAddr::from([127, 0, 0, 1]))
    }

    #[test]
    fn a_self_signed_certificate_names_the_listening_address() {
        let names = own_names(IpAddr::from([192, 0, 2, 7]));
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7"] {
            assert!(
                names.iter().any(|found| found == name),
                "{name} in {names:?}"
            );
        }
        load(&TlsConfig::SelfSigned, IpAddr::from([0, 0, 0, 0])).unwrap();
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path());
        assert!(load_files(&certificate, &key).is_ok());

        let message =
            |result: Result<Tls, TlsError>| result.err().expect("the files are wrong").to_string();
        assert!(message(load_files(&key, &key)).contains("key.pem: holds no certificate"));
        assert!(
            message(load_files(&certificate, &certificate))
                .contains("certificate.pem: holds no private key")
        );
        assert!(
            message(load_files(&folder.path().join("none"), &key)).contains("none: cannot be read")
        );

        let elsewhere = tempfile::tempdir().unwrap();
        let (_, other_key) = write_pair(elsewhere.path());
        assert!(message(load_files(&certificate, &other_key)).contains("do not belong together"));
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_taken_and_bad_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path());
        let watcher = load_files(&certificate, &key).unwrap().watcher.unwrap();
        let current = Arc::clone(&watcher.current);
        let in_use = move || current.0.read().unwrap().cert[0].clone();
        let task = tokio::spawn(watcher.run());
        let first = in_use();

        std::fs::write(&key, "not a key at all").unwrap();
        tokio::time::sleep(LOOK_EVERY * 4).await;
        assert_eq!(in_use(), first, "a bad file keeps the old certificate");

        write_pair(folder.path());
        tokio::time::sleep(LOOK_EVERY * 4).await;
        assert_ne!(in_use(), first, "a good pair is put to use");
        task.abort();
    }
}
