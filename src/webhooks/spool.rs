//! Events on disk until they are told: one file each, in a folder for each server that is told.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tracing::warn;
use url::Url;

use super::event::Event;
use crate::signalling::ids::JobId;

/// A file's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every try.
    pub id: String,
    /// Events of the same job are told in order.
    pub job: JobId,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What is sent, byte for byte.
    pub body: String,
}

/// A message that waits, and where it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its file.
    pub file: PathBuf,
    /// Of its job.
    pub job: JobId,
    /// When it happened.
    pub at: OffsetDateTime,
}

/// The folder of one server.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    next: u64,
}

impl Spool {
    /// Makes the folder where there is none; also gives what waits in it, oldest first.
    pub fn open(state: &Path, url: &Url) -> io::Result<(Self, VecDeque<Entry>)> {
        let digest = Sha256::digest(url.as_str());
        let folder = state.join(URL_SAFE_NO_PAD.encode(&digest[..12]));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|end| end == "json"));
        files.sort();
        let last = files.last().and_then(|file| number(file));
        let waiting = files.into_iter().filter_map(entry).collect();
        let next = last.map_or(0, |last| last + 1);
        Ok((Self { folder, next }, waiting))
    }

    /// Keeps an event; when this returns, it survives the process and the machine.
    pub fn add(&mut self, event: &Event) -> io::Result<Entry> {
        let at = OffsetDateTime::now_utc();
        let random: [u8; 16] = rand::random();
        let message = Message {
            id: format!("msg_{}", URL_SAFE_NO_PAD.encode(random)),
            job: event.job().clone(),
            at,
            body: event.body(at)?,
        };
        let new = self.folder.join(".new");
        let file = self.folder.join(format!("{:020}.json", self.next));
        let mut writer = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        writer.write_all(&serde_json::to_vec(&message)?)?;
        writer.sync_all()?;
        fs::rename(&new, &file)?;
        self.next += 1;
        Ok(Entry {
            file,
            job: message.job,
            at,
        })
    }
}

/// What a file of the spool says.
pub fn read(file: &Path) -> io::Result<Message> {
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

fn number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

fn entry(file: PathBuf) -> Option<Entry> {
    match read(&file) {
        Ok(Message { job, at, .. }) => Some(Entry { file, job, at }),
        Err(error) => {
            warn!(file = %file.display(), %error, "not a webhook that waits; it is left where it is");
            None
        }
    }
}
