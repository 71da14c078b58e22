//! Where recordings are uploaded to: `s3://`, `gs://`, `az://` and `file:///`, checked and opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use serde::Deserialize;
use url::Url;

use super::UploadError;
use crate::auth::Secret;

/// Of one request: a server that is away for longer is the business of the upload's own patience.
const REQUEST_RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(20),
};
const CONNECT: Duration = Duration::from_secs(10);
/// Of one request with its body: a part of 8 MiB takes this long at 0.5 Mbit/s.
const REQUEST: Duration = Duration::from_secs(140);

/// What kind of store a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Amazon S3, and everything that speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A folder of this machine, such as a mounted disk.
    Folder,
}

impl Store {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
            Self::Folder => "file",
        }
    }
}

/// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///FOLDER`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TargetUrl {
    /// Of which kind.
    pub store: Store,
    /// Bucket or container; empty for a folder.
    bucket: String,
    /// Below the bucket, without slashes at its ends; the whole path of a folder.
    path: String,
}

impl TryFrom<String> for TargetUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            // A password in it must not come into the log.
            let shown = text.split('@').next_back().unwrap_or_default();
            format!(
                "found {shown:?}, expected \"s3://BUCKET/PREFIX\", \"gs://BUCKET/PREFIX\", \"az://CONTAINER/PREFIX\" \
                 or \"file:///FOLDER\""
            )
        };
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let stores = [Store::S3, Store::Gcs, Store::Azure, Store::Folder];
        let store = stores
            .into_iter()
            .find(|store| store.scheme() == url.scheme())
            .ok_or_else(wrong)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none();
        let (bucket, path) = match store {
            Store::Folder => {
                let folder = url.to_file_path().map_err(|()| wrong())?;
                let folder = folder.into_os_string().into_string().map_err(|_| wrong())?;
                (String::new(), folder)
            }
            Store::S3 | Store::Gcs | Store::Azure => {
                let bucket = url.host_str().unwrap_or_default().to_owned();
                (bucket, url.path().trim_matches('/').to_owned())
            }
        };
        if !bare || (bucket.is_empty() && store != Store::Folder) {
            return Err(wrong());
        }
        Ok(Self {
            store,
            bucket,
            path,
        })
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            store,
            bucket,
            path,
        } = self;
        let slash = match store {
            Store::Folder => "",
            Store::S3 | Store::Gcs | Store::Azure if path.is_empty() => "",
            Store::S3 | Store::Gcs | Store::Azure => "/",
        };
        write!(f, "{}://{bucket}{slash}{path}", store.scheme())
    }
}

/// A target and how it is reached. What is absent is taken from the environment, as the store's own tools do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Where to.
    pub url: TargetUrl,
    /// Another server than the cloud's own: `https://minio.example.org:9000`.
    pub endpoint: Option<Url>,
    /// Of S3: the bucket's region.
    pub region: Option<String>,
    /// Of S3: the access key's id. Of Azure: the account's name.
    pub account: Option<String>,
    /// Of S3: the secret access key. Of Azure: the account's key. Of Google: the service account's JSON.
    pub secret: Option<Secret>,
    /// Certificates to trust besides the system's: a PEM file.
    pub ca: Option<PathBuf>,
}

impl TargetSettings {
    /// All from the environment.
    pub fn new(url: TargetUrl) -> Self {
        Self {
            url,
            endpoint: None,
            region: None,
            account: None,
            secret: None,
            ca: None,
        }
    }
}

/// An opened target.
#[derive(Debug, Clone)]
pub struct Target {
    /// As it is shown: its URL.
    pub name: String,
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

impl Target {
    /// Makes the client; connects nowhere yet.
    ///
    /// # Errors
    /// Where the options do not suffice, or the folder is not there.
    pub fn open(settings: &TargetSettings) -> Result<Self, UploadError> {
        crate::tls::install_ring();
        let failed = |message: String| UploadError::Options {
            target: settings.url.to_string(),
            message,
        };
        let client = client_options(settings).map_err(failed)?;
        let store = match settings.url.store {
            Store::S3 => s3(settings, client),
            Store::Gcs => gcs(settings, client),
            Store::Azure => azure(settings, client),
            Store::Folder => LocalFileSystem::new_with_prefix(&settings.url.path)
                .map(|folder| Arc::new(folder.with_fsync(true)) as Arc<dyn ObjectStore>),
        };
        let prefix = match settings.url.store {
            Store::Folder => "",
            Store::S3 | Store::Gcs | Store::Azure => settings.url.path.as_str(),
        };
        Ok(Self {
            name: settings.url.to_string(),
            store: store.map_err(|error| failed(in_words(&error)))?,
            prefix: ObjectPath::from(prefix),
        })
    }

    /// Where a file of a recording goes: `PREFIX/RECORDING/FILE`.
    pub fn object(&self, recording: &str, file: &str) -> ObjectPath {
        let parts = self.prefix.parts();
        let names = std::iter::once(recording).chain(file.split('/'));
        parts.chain(names.map(Into::into)).collect()
    }
}

fn client_options(settings: &TargetSettings) -> Result<ClientOptions, String> {
    let mut client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(
            settings
                .endpoint
                .as_ref()
                .is_some_and(|url| url.scheme() == "http"),
        );
    if let Some(path) = &settings.ca {
        let wrong = |error: &dyn fmt::Display| format!("ca {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&in_words(&error)))?;
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

fn s3(
    settings: &TargetSettings,
    client: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut s3 = AmazonS3Builder::from_env()
        .with_bucket_name(&settings.url.bucket)
        .with_retry(REQUEST_RETRIES);
    // The environment may allow plain HTTP for an endpoint of its own.
    if settings.endpoint.is_some() || settings.ca.is_some() {
        s3 = s3.with_client_options(client);
    }
    if let Some(endpoint) = &settings.endpoint {
        s3 = s3.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    if let Some(region) = &settings.region {
        s3 = s3.with_region(region);
    }
    if let Some(id) = &settings.account {
        s3 = s3.with_access_key_id(id);
    }
    if let Some(secret) = &settings.secret {
        s3 = s3.with_secret_access_key(secret.reveal());
    }
    Ok(Arc::new(s3.build()?))
}

fn gcs(
    settings: &TargetSettings,
    client: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut gcs = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&settings.url.bucket)
        .with_client_options(client)
        .with_retry(REQUEST_RETRIES);
    if let Some(endpoint) = &settings.endpoint {
        gcs = gcs.with_base_url(endpoint.as_str().trim_end_matches('/'));
    }
    if let Some(secret) = &settings.secret {
        gcs = gcs.with_service_account_key(secret.reveal());
    }
    Ok(Arc::new(gcs.build()?))
}

fn azure(
    settings: &TargetSettings,
    client: ClientOptions,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut azure = MicrosoftAzureBuilder::from_env()
        .with_container_name(&settings.url.bucket)
        .with_client_options(client)
        .with_retry(REQUEST_RETRIES);
    if let Some(endpoint) = &settings.endpoint {
        azure = azure.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
    }
    if let Some(account) = &settings.account {
        azure = azure.with_account(account);
    }
    if let Some(secret) = &settings.secret {
        azure = azure.with_access_key(secret.reveal());
    }
    Ok(Arc::new(azure.build()?))
}

/// An error with its causes, each once, cut to a length that fits a log line.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<TargetUrl, String> {
        TargetUrl::try_from(text.to_owned())
    }

    #[test]
    fn a_target_is_shown_as_it_was_written() {
        for text in [
            "s3://calls/2026/lobby",
            "s3://calls",
            "gs://calls/a",
            "az://calls/a",
            "file:///mnt/calls",
        ] {
            assert_eq!(url(text).unwrap().to_string(), text);
        }
        assert_eq!(url("s3://calls/a/").unwrap().to_string(), "s3://calls/a");
    }

    #[test]
    fn what_is_no_target_is_refused_without_showing_a_password() {
        for text in [
            "calls",
            "https://example.org/calls",
            "s3:///prefix",
            "s3://calls?a=b",
            "file://host/folder",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
        let refused = url("s3://key:hidden@calls/a").unwrap_err();
        assert!(!refused.contains("hidden"), "{refused}");
    }

    #[test]
    fn a_file_goes_below_the_prefix_and_the_recording() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("file://{}", folder.path().display());
        let target = Target::open(&TargetSettings::new(url(&text).unwrap())).unwrap();
        let object = target.object("lobby-20261122T090000Z", "hls/part 1.m4s");
        assert_eq!(object.as_ref(), "lobby-20261122T090000Z/hls/part 1.m4s");
    }
}
