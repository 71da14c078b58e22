//! `[remotes.NAME]` of `attache.toml`: streams of other servers that relays may bring into a room, or publish to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::check::Checker;
use crate::auth::Secret;
use crate::whip::client::{self, Protocol, Remotes};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Remote {
    pub whep: Option<Url>,
    pub whip: Option<Url>,
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
}

impl Checker<'_> {
    pub(super) fn remotes(&mut self, remotes: BTreeMap<String, Remote>) -> Remotes {
        let remotes = remotes.into_iter();
        remotes
            .filter_map(|(name, remote)| Some((name.clone(), self.remote(&name, remote)?)))
            .collect()
    }

    fn remote(&mut self, name: &str, remote: Remote) -> Option<client::Remote> {
        let at = format!("remotes.{name}");
        let token = self.secret(&format!("{at}.token"), remote.token, remote.token_file, 1);
        let (protocol, url) = match (remote.whep, remote.whip) {
            (Some(url), None) => (Protocol::Whep, url),
            (None, Some(url)) => (Protocol::Whip, url),
            (Some(_), Some(_)) | (None, None) => {
                let message = "either `whep`, to fetch from there, or `whip`, to publish there, must be given";
                self.wrong(&at, message);
                return None;
            }
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            let field = format!("{at}.{}", protocol.to_string().to_lowercase());
            self.wrong(&field, "not of the web: write \"https://HOST/PATH\"");
            return None;
        }
        Some(client::Remote {
            protocol,
            url,
            token: token.map(|token| token.reveal().to_owned()),
            ca: remote.ca.map(|path| self.resolve(&path)),
        })
    }
}
