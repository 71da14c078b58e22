//! What is made of a visit's frames beside its files: a playlist for players of HLS.
//!
//! Nothing here fails: what goes wrong is told, and the files do not notice.

use std::path::Path;
use std::time::Duration;

use super::hls::{self, Hls, Told};
use super::report::{Event, Stem};
use super::timeline::Action;
use super::track::Block;
use super::writer::WallClock;

/// What is made beside the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// HLS.
    pub hls: Option<hls::Settings>,
}

/// That of one visit.
#[derive(Default)]
pub(super) struct Outputs {
    hls: Option<Hls>,
    /// Running time of the open file's first sample.
    begin: Duration,
}

impl Outputs {
    pub(super) fn new(wanted: Beside, folder: &Path, stem: &Stem, wall: &WallClock) -> Self {
        let hls = |settings| Hls::new(folder.to_owned(), stem, settings, wall.clone());
        Self {
            hls: wanted.hls.map(hls),
            begin: Duration::ZERO,
        }
    }

    /// What is done with the files is done here, too.
    pub(super) fn take(&mut self, action: &Action) -> Vec<Event> {
        if let Action::Begin { at, .. } = action {
            self.begin = *at;
        }
        let Some(hls) = &mut self.hls else {
            return Vec::new();
        };
        let told = match action {
            Action::Begin { tracks, .. } => hls.expect(tracks),
            Action::Declare(track) => hls.expect(std::slice::from_ref(track)),
            Action::Write { block, content } => {
                let block = Block {
                    at: self.begin + block.at,
                    ..block.clone()
                };
                hls.push(block, content)
            }
            Action::Keep(_) | Action::AskForKeyFrame => Vec::new(),
        };
        told.into_iter().map(event).collect()
    }

    /// What follows comes over another connection.
    pub(super) fn interrupt(&mut self) {
        if let Some(hls) = &mut self.hls {
            hls.interrupt();
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) -> Vec<Event> {
        let told = self.hls.take().map(Hls::end).unwrap_or_default();
        told.into_iter().map(event).collect()
    }
}

fn event(told: Told) -> Event {
    match told {
        Told::KeyFrameNeeded => Event::KeyFrameNeeded,
        Told::Begun(_) | Told::LeftOut(_) | Told::Stuck(_) | Told::GoesOn | Told::Ended(_) => {
            Event::Hls(told)
        }
    }
}
