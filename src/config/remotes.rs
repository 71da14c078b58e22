//! `[remotes.NAME]` of `attache.toml`: streams of other servers that relays may bring into a room.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::check::Checker;
use crate::auth::Secret;
use crate::whip::client::{self, Remotes};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Remote {
    pub whep: Option<Url>,
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
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let Some(url) = remote.whep.filter(is_web) else {
            let message =
                "missing, or not of the web: write \"https://HOST/PATH\", a WHEP endpoint";
            self.wrong(&format!("{at}.whep"), message);
            return None;
        };
        Some(client::Remote {
            url,
            token: token.map(|token| token.reveal().to_owned()),
            ca: remote.ca.map(|path| self.resolve(&path)),
        })
    }
}
