//! What is made of a visit's frames beside its files: a playlist for players of HLS, and small pictures.
//!
//! Nothing here fails: what goes wrong is told, and the files do not notice. Where those go on in the second folder, all of
//! this does.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;

use super::frame::Frame;
use super::hls::{self, Hls, Told};
use super::places::Places;
use super::report::{Event, Stem};
use super::thumbnails::{self, Thumbnails};
use super::timeline::Action;
use super::track::Block;
use super::writer::WallClock;

/// What is made beside the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// HLS.
    pub hls: Option<hls::Settings>,
    /// A small picture of everybody, one in so much time.
    pub thumbnails: Option<Duration>,
}

/// That of one visit.
#[derive(Default)]
pub(super) struct Outputs {
    hls: Option<Hls>,
    thumbnails: Option<Thumbnails>,
    /// Running time of the open file's first sample.
    begin: Duration,
}

impl Outputs {
    pub(super) fn new(wanted: Beside, places: &Arc<Places>, stem: &Stem, wall: &WallClock) -> Self {
        let hls = |settings| Hls::new(places.clone(), stem, settings, wall.clone());
        let thumbnails = |every| Thumbnails::new(places.clone(), stem, every, wall.clone());
        Self {
            hls: wanted.hls.map(hls),
            thumbnails: wanted.thumbnails.map(thumbnails),
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
        told.into_iter().map(of_hls).collect()
    }

    /// A frame came, before it is put in order.
    pub(super) fn see(&mut self, sample: &gst::Sample, frame: &Frame) -> Vec<Event> {
        let told = self.thumbnails.as_mut().map(|it| it.see(sample, frame));
        told.into_iter().flatten().map(of_thumbnails).collect()
    }

    /// Nothing came for a moment.
    pub(super) fn idle(&mut self) -> Vec<Event> {
        let told = self.thumbnails.as_mut().map(Thumbnails::look);
        told.into_iter().flatten().map(of_thumbnails).collect()
    }

    /// What follows comes over another connection.
    pub(super) fn interrupt(&mut self) {
        if let Some(hls) = &mut self.hls {
            hls.interrupt();
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self) -> Vec<Event> {
        let hls = self.hls.take().map(Hls::end).into_iter().flatten();
        let thumbnails = self.thumbnails.take().map(Thumbnails::end);
        let thumbnails = thumbnails.into_iter().flatten().map(of_thumbnails);
        hls.map(of_hls).chain(thumbnails).collect()
    }
}

fn of_hls(told: Told) -> Event {
    match told {
        Told::KeyFrameNeeded => Event::KeyFrameNeeded,
        Told::Begun(_)
        | Told::LeftOut(_)
        | Told::Stuck(_)
        | Told::GoesOn
        | Told::Ended(_)
        | Told::Grown(..) => Event::Hls(told),
    }
}

fn of_thumbnails(told: thumbnails::Told) -> Event {
    match told {
        thumbnails::Told::KeyFrameNeeded => Event::KeyFrameNeeded,
        thumbnails::Told::Made { .. } | thumbnails::Told::Failed(_) => Event::Thumbnail(told),
    }
}
