//! Packets that leave together: what each costs on its way through the RTP session and SRTP, they pay once.

use attache_congestion::{Class, Mark};
use gst::prelude::*;
use gstreamer as gst;

/// A packet that is due.
pub struct Due {
    /// Itself.
    pub packet: gst::Buffer,
    /// What it is.
    pub class: Class,
    /// What it is part of.
    pub mark: Mark,
}

/// Packets that go through the RTP session at once: of a picture, and of one probe or none. A session takes several only of
/// one source.
#[derive(Default)]
pub struct Batch {
    packets: Vec<gst::Buffer>,
    of: Option<(Class, Mark)>,
}

impl Batch {
    /// Whether this one goes with those before it.
    pub fn takes(&self, due: &Due) -> bool {
        let of_a_picture = (Class::Video, due.mark);
        self.of
            .is_none_or(|of| of == of_a_picture && due.class == Class::Video)
    }

    /// Takes it.
    pub fn add(&mut self, due: Due) {
        self.packets.push(due.packet);
        self.of = Some((due.class, due.mark));
    }

    /// What its packets are part of; none where there are none.
    pub fn mark(&self) -> Option<Mark> {
        self.of.map(|(_, mark)| mark)
    }

    /// Sends them.
    pub fn leave_through(mut self, pad: &gst::Pad) -> Result<gst::FlowSuccess, gst::FlowError> {
        match self.packets.pop() {
            Some(only) if self.packets.is_empty() => pad.push(only),
            last => pad.push_list(self.packets.into_iter().chain(last).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_picture_go_together_and_those_of_other_sources_alone() {
        gst::init().unwrap();
        let due = |class| Due {
            packet: gst::Buffer::new(),
            class,
            mark: Mark::default(),
        };
        let after = |first| {
            let mut batch = Batch::default();
            assert!(batch.takes(&due(first)));
            batch.add(due(first));
            [Class::Audio, Class::Retransmission, Class::Video].map(|next| batch.takes(&due(next)))
        };
        assert_eq!(after(Class::Video), [false, false, true]);
        assert_eq!(after(Class::Audio), [false; 3]);
        assert_eq!(after(Class::Retransmission), [false; 3]);
    }
}
