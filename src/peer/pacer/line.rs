//! One peer's packets on their way out, and what the other side says of them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attache_congestion::feedback::FEEDBACK_FORMAT;
use attache_congestion::{Class, Feedback, Flow, Mark, Rate, Settings, Step};
use gst::prelude::*;
use gstreamer as gst;

use super::batch::{Batch, Due};
use super::history::History;
use super::packet::{self, Retransmission};
use super::rounds;
use crate::media::MediaKind;
use crate::peer::bandwidth::{Bandwidth, Estimate};
use crate::pipeline::Bitrate;

/// RTCP's transport layer feedback (RFC 4585 6.2).
const TRANSPORT_FEEDBACK: u8 = 205;
/// What is sent before the other side has said anything.
const START: Rate = Rate::from_megabits(2);
/// Sound alone, with its headers: less is no call.
const LEAST_KILOBITS: u32 = 50;
/// More than any picture of a call takes: no link is asked for it.
const MOST: Rate = Rate::from_megabits(8);
/// The RTP session notes each packet that it numbers until feedback of it comes: so often it hears of some.
const SESSION_FORGETS: Duration = Duration::from_secs(1);
/// A packet smaller than this is not worth being sent again as padding; it may be larger than what is wanted by so much.
const WORTH: usize = 100;
const HEADERS: usize = 100;

/// What a packet's source is.
#[derive(Debug, Default, Clone, Copy)]
struct Tracks {
    audio: Option<u32>,
    video: Option<u32>,
    video_payload_type: Option<u8>,
    again: Option<Retransmission>,
    twcc: Option<u8>,
}

#[derive(Debug)]
struct State {
    flow: Flow<gst::Buffer>,
    tracks: Tracks,
    /// Of the picture: for those who ask, and padding is made of it.
    history: History<gst::Buffer>,
    /// As which payload types packets are sent again, by their own.
    repeated_types: Option<gst::Structure>,
    /// The next sequence number of retransmissions, which padding shares.
    next_again: u16,
    /// There is no picture for this peer: what is lost of the last one is of no use any more.
    is_paused: bool,
    /// Packets of the picture that were forgotten: those behind them close up.
    forgotten: u16,
    /// Of the packets that are on their way through the RTP session.
    mark: Mark,
    /// When the RTP session was told last what has arrived.
    session_told: Option<Duration>,
}

/// One peer's packets. Whoever adds to it lets go what is due; what has to wait, the thread of [`rounds`] does.
#[derive(Debug)]
pub struct Line {
    state: Mutex<State>,
    way_out: Mutex<Option<gst::glib::WeakRef<gst::Pad>>>,
    /// How many wanted to let packets go since the one began who does.
    turns: AtomicU32,
    flow: Mutex<Result<gst::FlowSuccess, gst::FlowError>>,
    is_closed: AtomicBool,
    is_followed: AtomicBool,
    bandwidth: Bandwidth,
}

impl Line {
    /// One that has sent nothing yet.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new() -> std::io::Result<Arc<Self>> {
        let flow = Flow::new(Settings {
            start: START,
            least: Rate::from_kilobits(LEAST_KILOBITS),
            most: MOST,
        });
        let line = Arc::new(Self {
            state: Mutex::new(State {
                flow,
                tracks: Tracks::default(),
                history: History::default(),
                repeated_types: None,
                next_again: rand::random(),
                is_paused: false,
                forgotten: 0,
                mark: Mark::default(),
                session_told: None,
            }),
            way_out: Mutex::default(),
            turns: AtomicU32::new(0),
            flow: Mutex::new(Ok(gst::FlowSuccess::Ok)),
            is_closed: AtomicBool::new(false),
            is_followed: AtomicBool::new(false),
            bandwidth: Bandwidth::new(),
        });
        rounds::join(&line)?;
        Ok(line)
    }

    /// What the way to the other side carries.
    pub fn bandwidth(&self) -> &Bandwidth {
        &self.bandwidth
    }

    /// Packets of this source are this track's; transport-wide numbers are in the extension of this id.
    pub fn add_track(&self, kind: MediaKind, ssrc: u32, twcc: Option<u8>) {
        let mut state = self.lock();
        match kind {
            MediaKind::Audio => state.tracks.audio = Some(ssrc),
            MediaKind::Video => state.tracks.video = Some(ssrc),
        }
        state.tracks.twcc = state.tracks.twcc.or(twcc);
    }

    /// The payload type of the picture.
    pub fn set_video_payload_type(&self, payload_type: u8) {
        self.lock().tracks.video_payload_type = Some(payload_type);
    }

    /// The source of the picture's packets.
    pub fn video(&self) -> Option<u32> {
        self.lock().tracks.video
    }

    /// Their payload type.
    pub fn video_payload_type(&self) -> Option<u8> {
        self.lock().tracks.video_payload_type
    }

    /// Whether somebody tells it of packets and RTCP; from the first question on somebody does.
    pub fn is_followed(&self) -> bool {
        self.is_followed.swap(true, Ordering::Relaxed)
    }

    /// The picture's packets are sent again so: probes are filled up with them.
    pub fn pad_with(&self, how: Retransmission) {
        let mut state = self.lock();
        state.tracks.again = Some(how);
        state.flow.allow_padding();
    }

    /// As which payload types packets are sent again, by their own payload types.
    pub fn set_repeated_types(&self, types: gst::Structure) {
        self.lock().repeated_types = Some(types);
    }

    /// As which payload type the picture's packets are sent again, where that was agreed on.
    pub fn repeated_type(&self) -> Option<u8> {
        let state = self.lock();
        let original = state.tracks.video_payload_type?.to_string();
        let types = state.repeated_types.as_ref()?;
        u8::try_from(types.get::<u32>(original).ok()?).ok()
    }

    /// The other side asks for a packet; false where packets of this source are not sent again.
    pub(super) fn ask(&self, ssrc: u32, sequence: u16) -> bool {
        let is_repeated = self.lock().ask(ssrc, sequence);
        rounds::wake(self);
        is_repeated
    }

    /// How long the packets that wait here will take.
    pub fn backlog(&self) -> Duration {
        self.lock().flow.backlog()
    }

    /// Forgets the pictures that wait here: they would come too late. A key frame has to be next.
    pub fn forget_pictures(&self) {
        let mut state = self.lock();
        // As sequence numbers go round, so does the count.
        let count = state.flow.forget_pictures() as u16;
        state.forgotten = state.forgotten.wrapping_add(count);
    }

    /// From now on there is no picture for this peer, or one again. Without one nothing of the former one is sent any more.
    pub fn pause_picture(&self, is_paused: bool) {
        self.lock().is_paused = is_paused;
        if is_paused {
            self.forget_pictures();
        }
    }

    pub(super) fn leave_through(&self, pad: &gst::Pad) {
        *self.way_out.lock().unwrap_or_else(PoisonError::into_inner) = Some(pad.downgrade());
    }

    /// Nothing leaves any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Takes packets; tells what became of earlier ones.
    pub(super) fn take(
        &self,
        packets: impl Iterator<Item = gst::Buffer>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        {
            let mut state = self.lock();
            let now = rounds::now();
            for packet in packets {
                let class = state.class(&packet);
                state.flow.push(class, packet.size(), packet, now);
            }
        }
        self.run();
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go what is due. Where another thread is at it, that one looks again.
    pub(super) fn run(&self) {
        if self.turns.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut seen = 1;
        loop {
            let next = self.let_go();
            rounds::look_at(self, next);
            let end = self
                .turns
                .compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire);
            match end {
                Ok(_) => return,
                Err(more) => seen = more,
            }
        }
    }

    /// Lets go what is due; when the next one is.
    fn let_go(&self) -> Duration {
        let way_out = self
            .way_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(pad) = way_out.and_then(|pad| pad.upgrade()) else {
            return rounds::now() + Duration::from_secs(1);
        };
        let mut batch = Batch::default();
        loop {
            if self.is_closed.load(Ordering::Relaxed) {
                return Duration::MAX;
            }
            match self.next() {
                Ok(due) => {
                    if !batch.takes(&due) {
                        self.send(&pad, std::mem::take(&mut batch));
                    }
                    batch.add(due);
                }
                Err(until) => {
                    self.send(&pad, batch);
                    return until;
                }
            }
        }
    }

    fn send(&self, pad: &gst::Pad, batch: Batch) {
        let Some(mark) = batch.mark() else {
            return;
        };
        self.lock().mark = mark;
        let flow = batch.leave_through(pad);
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner) = flow;
    }

    /// The packet that is due, or when one will be.
    fn next(&self) -> Result<Due, Duration> {
        let mut state = self.lock();
        loop {
            let packet = match state.flow.step(rounds::now()) {
                Step::Send(packet) => Some(state.on_leaving(packet)),
                // Without anything to send again a probe is what media makes it.
                Step::Pad(bytes) => state.padding(bytes),
                Step::Wait(until) => return Err(until),
            };
            if let Some(packet) = packet {
                let (class, mark) = (state.class(&packet), state.flow.mark());
                return Ok(Due {
                    packet,
                    class,
                    mark,
                });
            }
        }
    }

    /// A packet leaves the RTP session: now it has its number.
    pub fn on_numbered(&self, packet: &[u8]) {
        let mut state = self.lock();
        let sequence = state
            .tracks
            .twcc
            .and_then(|id| packet::transport_sequence(packet, id));
        if let Some(sequence) = sequence {
            let mark = state.mark;
            state
                .flow
                .on_sent(sequence, packet.len(), mark, rounds::now());
        }
    }

    /// RTCP came from the other side: a compound packet, or one without reports (RFC 5506). Whether the RTP session is to
    /// hear of it, too: of packet after packet of feedback it makes tables that nobody reads.
    pub fn on_rtcp(&self, mut packet: &[u8]) -> bool {
        let (mut heard, mut is_other) = (false, false);
        while let Some(&[first, kind, high, low]) = packet.first_chunk::<4>() {
            let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let Some((part, rest)) = packet.split_at_checked(length) else {
                break;
            };
            packet = rest;
            let is_feedback = kind == TRANSPORT_FEEDBACK && first & 0x1f == FEEDBACK_FORMAT;
            match part.get(12..).filter(|_| is_feedback) {
                Some(fci) => heard |= self.on_feedback(fci),
                None => is_other = true,
            }
        }
        if !heard {
            return true;
        }
        let now = rounds::now();
        let mut state = self.lock();
        let told = state.session_told;
        let tells = is_other || told.is_none_or(|at| now >= at + SESSION_FORGETS);
        if tells {
            state.session_told = Some(now);
        }
        let is_at_rest = state.flow.is_at_rest();
        drop(state);
        if !is_at_rest {
            rounds::wake(self);
        }
        tells
    }

    fn on_feedback(&self, fci: &[u8]) -> bool {
        let feedback = match Feedback::parse(fci) {
            Ok(feedback) => feedback,
            Err(error) => {
                tracing::debug!(%error, "feedback is not taken");
                return false;
            }
        };
        let mut state = self.lock();
        state.flow.on_feedback(&feedback, rounds::now());
        let status = state.flow.status();
        let backlog = state.flow.backlog();
        drop(state);
        tracing::trace!(
            target_kbps = status.target.kilobits(),
            arrives_kbps = status.acknowledged.map(Rate::kilobits),
            queue_ms = status.queue.as_secs_f64() * 1000.0,
            backlog_ms = backlog.as_secs_f64() * 1000.0,
            loss = status.loss,
            probes = status.probes,
            "feedback"
        );
        self.bandwidth.tell(Estimate {
            bitrate: Bitrate {
                bits_per_second: status.target.bits() as u32,
            },
            loss: status.loss,
            round_trip: status.round_trip,
            queue: status.queue,
            is_application_limited: status.is_limited,
        });
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn class(&self, packet: &gst::Buffer) -> Class {
        let mut head = [0; 12];
        let ssrc = match packet.copy_to_slice(0, &mut head) {
            Ok(()) => packet::ssrc(&head),
            Err(_) => None,
        };
        if ssrc == self.tracks.audio {
            Class::Audio
        } else if ssrc == self.tracks.video {
            Class::Video
        } else {
            Class::Retransmission
        }
    }

    /// Closes a picture's packet up to those before it, and keeps it for those who ask for it.
    fn on_leaving(&mut self, mut packet: gst::Buffer) -> gst::Buffer {
        let mut head = [0; 4];
        if self.class(&packet) != Class::Video || packet.copy_to_slice(0, &mut head).is_err() {
            return packet;
        }
        let Some(sequence) = packet::sequence(&head) else {
            return packet;
        };
        let closed_up = sequence.wrapping_sub(self.forgotten);
        if closed_up != sequence
            && let Ok(mut bytes) = packet.make_mut().map_writable()
        {
            packet::renumber(&mut bytes, closed_up);
        }
        if self.tracks.again.is_some() {
            self.history.keep(closed_up, packet.clone(), rounds::now());
        }
        packet
    }

    fn ask(&mut self, ssrc: u32, sequence: u16) -> bool {
        let Some(how) = self
            .tracks
            .again
            .filter(|_| self.tracks.video == Some(ssrc))
        else {
            return false;
        };
        if self.is_paused {
            return true;
        }
        let now = rounds::now();
        // It may wait here, too, before it goes its way.
        let way = self.flow.status().round_trip + self.flow.backlog_of_retransmissions();
        let found = self.history.ask(sequence, way, now);
        if let Some(again) = found.and_then(|packet| repeated(packet, how, self.next_again)) {
            self.next_again = self.next_again.wrapping_add(1);
            self.flow
                .push(Class::Retransmission, again.size(), again, now);
        }
        true
    }

    /// About so much, but not more.
    fn padding(&mut self, bytes: usize) -> Option<gst::Buffer> {
        let how = self.tracks.again?;
        let fits = |packet: &gst::Buffer| (WORTH..=bytes + HEADERS).contains(&packet.size());
        let sample = self.history.newest(fits)?;
        let again = repeated(sample, how, self.next_again)?;
        self.next_again = self.next_again.wrapping_add(1);
        Some(again)
    }
}

/// A packet once more.
fn repeated(packet: &gst::Buffer, how: Retransmission, sequence: u16) -> Option<gst::Buffer> {
    let map = packet.map_readable().ok()?;
    let again = packet::retransmit(&map, how, sequence)?;
    let mut buffer = gst::Buffer::from_mut_slice(again);
    let made = buffer.make_mut();
    made.set_pts(packet.pts());
    made.set_dts(packet.dts());
    Some(buffer)
}
