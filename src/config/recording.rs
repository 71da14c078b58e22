//! `[recording]` of `attache.toml`: where what the disk does not take goes, where recordings are uploaded to, and where live
//! streams may go.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::check::Checker;
use crate::auth::Secret;
use crate::recording::upload::target::Store;
use crate::recording::upload::{Mode, TargetSettings, TargetUrl, UploadSettings};
use crate::streaming::target::HostPort;

/// Targets there may be: one, and another.
const TARGETS: usize = 2;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    pub second_folder: Option<PathBuf>,
    pub keep_local: Option<bool>,
    pub upload_mode: Mode,
    pub stream_hosts: Vec<HostPort>,
    pub upload: Vec<UploadTarget>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadTarget {
    pub url: Option<TargetUrl>,
    pub endpoint: Option<Url>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub account: Option<String>,
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
}

impl Checker<'_> {
    pub(super) fn second_folder(
        &mut self,
        recording: &Recording,
        recordings: &Path,
    ) -> Option<PathBuf> {
        let second = self.resolve(recording.second_folder.as_ref()?);
        if second == recordings {
            let message = format!(
                "found {}, which is [jobs] recordings: name a folder on another disk",
                second.display()
            );
            self.wrong("recording.second_folder", message);
        }
        Some(second)
    }

    pub(super) fn uploads(&mut self, recording: Recording) -> UploadSettings {
        let keep_local = recording.keep_local.unwrap_or(true);
        if recording.upload.is_empty() && !keep_local {
            self.wrong(
                "recording.keep_local",
                "false, but there is no [[recording.upload]]: files are removed here only when they are at a target",
            );
        }
        if recording.upload.len() > TARGETS {
            let message = format!(
                "found {}, expected at most {TARGETS}",
                recording.upload.len()
            );
            self.wrong(&format!("recording.upload[{TARGETS}]"), message);
        }
        if recording.upload_mode == Mode::Both && recording.upload.len() < TARGETS {
            self.wrong(
                "recording.upload_mode",
                "\"both\", but there are not two [[recording.upload]]",
            );
        }
        let targets = recording.upload.into_iter().enumerate();
        let targets = targets
            .filter_map(|(index, target)| {
                self.upload_target(&format!("recording.upload[{index}]"), target)
            })
            .collect();
        UploadSettings {
            targets,
            mode: recording.upload_mode,
            keep_local,
            ..UploadSettings::default()
        }
    }

    fn upload_target(&mut self, at: &str, target: UploadTarget) -> Option<TargetSettings> {
        let Some(url) = target.url else {
            self.wrong(
                &format!("{at}.url"),
                "missing: write \"s3://BUCKET/PREFIX\", \"gs://...\", \"az://...\" or \"file:///FOLDER\"",
            );
            return None;
        };
        let (is_s3, is_azure) = (url.store == Store::S3, url.store == Store::Azure);
        let is_folder = url.store == Store::Folder;
        let has_secret = target.secret.is_some() || target.secret_file.is_some();
        let misplaced = [
            ("region", target.region.is_some() && !is_s3),
            ("access_key_id", target.access_key_id.is_some() && !is_s3),
            ("account", target.account.is_some() && !is_azure),
            ("endpoint", target.endpoint.is_some() && is_folder),
            ("secret", has_secret && is_folder),
            ("ca", target.ca.is_some() && is_folder),
        ];
        for (key, _) in misplaced.iter().filter(|(_, misplaced)| *misplaced) {
            self.wrong(
                &format!("{at}.{key}"),
                format!("{url} has no such option: remove it"),
            );
        }
        if is_s3 && target.access_key_id.is_some() != has_secret {
            self.wrong(
                &format!("{at}.access_key_id"),
                "access_key_id and secret_file belong together: give both, or none and AWS_* in the environment",
            );
        }
        let web = |url: &Url| matches!(url.scheme(), "http" | "https");
        if let Some(endpoint) = target.endpoint.as_ref().filter(|url| !web(url)) {
            let found = endpoint.scheme();
            self.wrong(
                &format!("{at}.endpoint"),
                format!("found {found}:, expected https:// or http://"),
            );
        }
        let secret = self.secret(
            &format!("{at}.secret"),
            target.secret,
            target.secret_file,
            1,
        );
        Some(TargetSettings {
            url,
            endpoint: target.endpoint,
            region: target.region,
            account: target.access_key_id.or(target.account),
            secret,
            ca: target.ca.map(|path| self.resolve(&path)),
        })
    }
}
