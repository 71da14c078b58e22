//! What of each track came and was not taken by the disk. Pure.

use time::OffsetDateTime;

use super::report::Event;
use crate::media::MediaKind;

/// The hole in each track that is not closed yet.
#[derive(Debug, Default)]
pub(super) struct Holes {
    sound: Option<Hole>,
    picture: Option<Hole>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    /// End of the last frame on disk.
    from: OffsetDateTime,
    /// The last frame that is not there.
    to: OffsetDateTime,
}

impl Holes {
    /// What came from one moment to the other is not on disk.
    pub(super) fn miss(&mut self, kind: MediaKind, from: OffsetDateTime, to: OffsetDateTime) {
        let hole = self.of(kind).get_or_insert(Hole { from, to });
        hole.to = hole.to.max(to);
    }

    /// Since this moment there is something on disk again: the gap, if there was one.
    pub(super) fn end(&mut self, kind: MediaKind, to: OffsetDateTime) -> Option<Event> {
        let from = self.of(kind).take()?.from;
        gap(kind, from, to)
    }

    /// Nothing comes any more.
    pub(super) fn rest(&mut self) -> Vec<Event> {
        let kinds = [MediaKind::Audio, MediaKind::Video].into_iter();
        let last = |kind| {
            let hole = self.of(kind).take()?;
            gap(kind, hole.from, hole.to)
        };
        kinds.filter_map(last).collect()
    }

    fn of(&mut self, kind: MediaKind) -> &mut Option<Hole> {
        match kind {
            MediaKind::Audio => &mut self.sound,
            MediaKind::Video => &mut self.picture,
        }
    }
}

fn gap(kind: MediaKind, from: OffsetDateTime, to: OffsetDateTime) -> Option<Event> {
    (from < to).then_some(Event::Gap {
        kind,
        from,
        to,
        disk: true,
    })
}
