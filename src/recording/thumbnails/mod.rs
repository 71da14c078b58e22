//! Small pictures of a visit while it is recorded: one JPEG every so many seconds, of a key frame.
//!
//! [`schedule`] says when, [`jpeg`] makes the picture, on a thread of its own for each: the files do not wait. While one is
//! being made no other is begun.

mod jpeg;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer as gst;
use time::OffsetDateTime;

use self::schedule::{Schedule, Wish};
use super::frame::{Content, Frame, Picture};
use super::places::Places;
use super::replace::write_whole;
use super::report::Stem;
use super::writer::WallClock;

/// What there is to tell of thumbnails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// One is there.
    Made {
        /// Its path in the recording's folder, or elsewhere.
        file: PathBuf,
        /// The moment that it shows.
        at: OffsetDateTime,
    },
    /// One could not be made, for this reason; told once until one can.
    Failed(String),
    /// The sender is to give a key frame.
    KeyFrameNeeded,
}

/// Makes the thumbnails of one visit.
pub struct Thumbnails {
    places: Arc<Places>,
    stem: String,
    wall: WallClock,
    schedule: Schedule,
    key: Option<Key>,
    making: Option<JoinHandle<Made>>,
    /// Begun so far.
    count: u32,
    fails: bool,
}

/// The last key frame.
struct Key {
    sample: gst::Sample,
    picture: Picture,
    at: Duration,
}

type Made = Result<(PathBuf, OffsetDateTime), String>;

impl Thumbnails {
    /// Of the visit of this name, where its recording goes, one every so much time.
    pub fn new(places: Arc<Places>, stem: &Stem, every: Duration, wall: WallClock) -> Self {
        Self {
            places,
            stem: stem.to_string(),
            wall,
            schedule: Schedule::new(every),
            key: None,
            making: None,
            count: 0,
            fails: false,
        }
    }

    /// A frame came; `frame` is what is in the sample.
    pub fn see(&mut self, sample: &gst::Sample, frame: &Frame) -> Vec<Told> {
        let mut told = self.look();
        let is_key = match &frame.content {
            Content::Opus { .. } | Content::Aac(_) => return told,
            Content::Delta(_) => false,
            Content::Key(picture) => {
                self.key = Some(Key {
                    sample: sample.clone(),
                    picture: picture.clone(),
                    at: frame.at,
                });
                true
            }
        };
        match self.schedule.on_picture(frame.at, is_key) {
            Wish::Nothing => {}
            Wish::KeyFrame => told.push(Told::KeyFrameNeeded),
            Wish::Thumbnail if self.making.is_some() => {
                let why = "the one before is not ready: the machine has no time for it";
                self.take_in(Err(why.to_owned()), &mut told);
            }
            Wish::Thumbnail => {
                if let Err(error) = self.begin() {
                    self.take_in(Err(error), &mut told);
                }
            }
        }
        told
    }

    /// Tells of one that is ready.
    pub fn look(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(made) = self.making.take_if(|making| making.is_finished()) {
            self.take_in(outcome(made), &mut told);
        }
        told
    }

    /// No frame comes any more: waits for the last one.
    pub fn end(mut self) -> Vec<Told> {
        let mut told = Vec::new();
        if let Some(made) = self.making.take() {
            self.take_in(outcome(made), &mut told);
        }
        told
    }

    /// Begins to make one of the last key frame.
    fn begin(&mut self) -> Result<(), String> {
        let Some(key) = self.key.take() else {
            return Ok(());
        };
        self.count += 1;
        let place = self.places.at();
        let name = format!("{}-{:05}.jpg", self.stem, self.count);
        let path = self.places.folder(place).join(name);
        let file = self.places.entry(place, &path);
        let at = (self.wall)(key.at);
        let make = move || {
            let picture = key.picture;
            let bytes = jpeg::of(&key.sample, picture.codec, picture.size)
                .map_err(|error| format!("{}: {error:#}", path.display()))?;
            write_whole(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((file, at))
        };
        let thread = std::thread::Builder::new().name("thumbnail".to_owned());
        let making = thread.spawn(make);
        self.making = Some(making.map_err(|error| format!("no thread: {error}"))?);
        Ok(())
    }

    fn take_in(&mut self, made: Made, told: &mut Vec<Told>) {
        match made {
            Ok((file, at)) => {
                self.fails = false;
                told.push(Told::Made { file, at });
            }
            Err(why) => {
                if !std::mem::replace(&mut self.fails, true) {
                    told.push(Told::Failed(why));
                }
            }
        }
    }
}

fn outcome(made: JoinHandle<Made>) -> Made {
    let panicked = || Err("the thread that made it ended in a panic".to_owned());
    made.join().unwrap_or_else(|_| panicked())
}
