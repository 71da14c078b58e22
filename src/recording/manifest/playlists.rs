//! What the manifest says of a visit's HLS.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrackCodec;
use crate::recording::hls::Told;

/// A visit's playlists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaylistEntry {
    /// The multivariant playlists, by their paths in the recording's folder, in order of time: more than one where the
    /// recording went on in another folder; none while nothing could be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub playlists: Vec<PathBuf>,
    /// Nothing changes any more, and the newest says so.
    pub finished: bool,
    /// What of the visit is not in them, because HLS does not carry it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<TrackCodec>,
    /// Why there is less than there should be, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl PlaylistEntry {
    /// Takes in what is told of them.
    pub(super) fn take(&mut self, told: &Told) {
        match told {
            Told::Begun(playlist) => self.has(playlist),
            Told::Ended(playlist) => self.is_finished(playlist),
            Told::LeftOut(codec) => self.left_out.push((*codec).into()),
            Told::Stuck(why) => self.error = Some(why.clone()),
            Told::GoesOn | Told::KeyFrameNeeded | Told::Grown(..) => {}
        }
    }

    /// Nothing comes any more; this is the newest.
    pub(in crate::recording) fn is_finished(&mut self, playlist: &Path) {
        self.has(playlist);
        self.finished = true;
    }

    fn has(&mut self, playlist: &Path) {
        if !self.playlists.iter().any(|known| known == playlist) {
            self.playlists.push(playlist.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_the_recording_went_to_has_its_playlist_named() {
        let mut entry = PlaylistEntry::default();
        let (first, second) = ("a.hls/index.m3u8", "/second/a-2.hls/index.m3u8");
        entry.take(&Told::Begun(first.into()));
        entry.take(&Told::Begun(second.into()));
        entry.take(&Told::Ended(second.into()));
        assert_eq!(entry.playlists, [first, second].map(PathBuf::from));
        assert!(entry.finished);
    }
}
