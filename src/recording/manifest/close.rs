//! How visits and recordings begin and end, whoever tells of it: their writers, or what is found where those were killed.

use time::OffsetDateTime;

use super::keep::round;
use super::{End, Manifest, Span, State, Visit};
use crate::signalling::ids::ParticipantId;
use crate::signalling::protocol::{Kind, Sends};

impl Visit {
    /// Of somebody who came at this time, and of whom nothing else is known yet.
    pub fn begin(participant: ParticipantId, kind: Kind, arrived: OffsetDateTime) -> Self {
        Self {
            participant,
            kind,
            name: None,
            enhances: None,
            arrived: round(arrived),
            left: None,
            ended: None,
            forbidden: Vec::new(),
            mutes: Vec::new(),
            gaps: Vec::new(),
            generations: Vec::new(),
            dropped_frames: 0,
            error: None,
            hls: None,
            files: Vec::new(),
            stem: None,
            sends: Sends::default(),
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, why: End, at: OffsetDateTime) {
        self.left = Some(round(at));
        self.ended = Some(why);
        match why {
            End::Forbidden => self.forbidden.push(Span {
                from: round(at),
                to: None,
            }),
            End::Left | End::Lost | End::Stopped | End::Killed => {}
        }
    }
}

impl Manifest {
    /// Nothing is written any more: what lasts ends with it.
    pub(super) fn end(&mut self, state: State, at: OffsetDateTime) {
        let at = round(at);
        for span in self.pauses.iter_mut().filter(|span| span.to.is_none()) {
            span.to = Some(at.max(span.from));
        }
        for span in self.speakers.iter_mut().filter(|span| span.to.is_none()) {
            span.to = Some(at.max(span.from));
        }
        self.state = state;
        self.finished = Some(at);
    }
}
