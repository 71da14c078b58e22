//! `[[webhooks]]` of `attache.toml`: who is told what happens; and the folder of what has to outlive the process.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::check::Checker;
use crate::auth::Secret;
use crate::webhooks::WebhookSettings;
use crate::webhooks::event::Pattern;
use crate::webhooks::sign::Key;

/// Of a key's text: `whsec_` and more.
const SHORTEST: usize = 38;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    pub url: Option<Url>,
    pub secret: Option<Secret>,
    pub secret_file: Option<PathBuf>,
    pub events: Vec<Pattern>,
}

impl Checker<'_> {
    pub(super) fn webhooks(&mut self, webhooks: Vec<Webhook>) -> Vec<WebhookSettings> {
        let webhooks = webhooks.into_iter().enumerate();
        webhooks
            .filter_map(|(index, webhook)| self.webhook(&format!("webhooks[{index}]"), webhook))
            .collect()
    }

    fn webhook(&mut self, at: &str, webhook: Webhook) -> Option<WebhookSettings> {
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let Some(url) = webhook.url.filter(is_web) else {
            self.wrong(
                &format!("{at}.url"),
                "missing, or not of the web: write \"https://HOST/PATH\"",
            );
            return None;
        };
        let has_secret = webhook.secret.is_some() || webhook.secret_file.is_some();
        let key = format!("{at}.secret");
        if !has_secret {
            self.wrong(
                &format!("{key}_file"),
                "missing: what is sent is signed, so that nobody else can pretend to be attache",
            );
        }
        let secret = self.secret(&key, webhook.secret, webhook.secret_file, SHORTEST)?;
        match Key::parse(secret.reveal()) {
            Ok(key) => Some(WebhookSettings {
                url,
                key,
                events: webhook.events,
            }),
            Err(message) => {
                self.wrong(&key, message);
                None
            }
        }
    }
}

/// systemd's `StateDirectory=`, the user's state, or the system's.
pub fn default_state(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    if let Some(folder) = variable("STATE_DIRECTORY") {
        return folder;
    }
    let home = || Some(variable("HOME")?.join(".local/state"));
    let user = variable("XDG_STATE_HOME").or_else(home);
    let user = user.filter(|folder| folder.is_absolute() && folder != Path::new("/.local/state"));
    user.unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("attache")
}
