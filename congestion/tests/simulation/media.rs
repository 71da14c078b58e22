//! A media flow: encoder and microphone, the flow under test, and the receiver that reports what arrived.

use std::collections::VecDeque;
use std::time::Duration;

use attache_congestion::feedback::Arrival;
use attache_congestion::{Class, Feedback, Flow, Rate, Settings, Status, Step};

use crate::encoder::Encoder;
use crate::link::{Link, Parcel};

/// What SRTP, UDP and IPv4 add to an RTP packet.
pub const OVERHEAD: usize = 10 + 28;
/// RTP's header with its extensions.
const HEADER: usize = 20;
/// The payload of the largest packet.
const PAYLOAD: usize = 1180;
/// Sound: packets of 20 ms, up to 64 kb/s; less where the link carries little, down to 16.
const SOUND: usize = 160;
const LEAST_SOUND: usize = 40;
const SOUND_EVERY: Duration = Duration::from_millis(20);
/// Frames are left out while so much waits to be sent.
const BACKLOG: Duration = Duration::from_millis(250);
/// A larger picture comes when there has been enough for it for so long.
const UP_AFTER: Duration = Duration::from_secs(2);
/// The receiver's clock began at another time.
const CLOCK: i64 = -12_345_678;

/// How a flow begins, and what it is.
pub struct Character {
    pub begins: Duration,
    pub most: Rate,
    /// The picture is a small one of this rate until there has been this much for it for a while; then a larger one comes.
    pub tier: Option<(Rate, Rate)>,
    /// With less than this for it there is no picture.
    pub pauses_below: Rate,
    pub feedback_every: Duration,
    pub seed: u64,
}

pub struct Media {
    number: usize,
    character: Character,
    flow: Flow<usize>,
    encoder: Encoder,
    next_sound: Duration,
    sound: usize,
    is_paused: bool,
    ample_since: Option<Duration>,
    sent: u64,
    receiver: Receiver,
    /// Feedback on its way back.
    returning: VecDeque<(Duration, Feedback)>,
    pub skipped: u32,
}

#[derive(Default)]
struct Receiver {
    next_report: Duration,
    reported: u64,
    arrived: Vec<(u64, i64)>,
}

impl Media {
    pub fn new(number: usize, character: Character) -> Self {
        let start = Rate::from_kilobits(1000);
        let mut flow = Flow::new(Settings {
            start,
            least: Rate::from_kilobits(50),
            most: character.most * 2.0,
        });
        flow.allow_padding();
        Self {
            number,
            encoder: Encoder::new(start, character.most, character.seed),
            next_sound: character.begins,
            sound: SOUND,
            is_paused: false,
            ample_since: None,
            character,
            flow,
            sent: 0,
            receiver: Receiver::default(),
            returning: VecDeque::new(),
            skipped: 0,
        }
    }

    pub fn status(&self) -> Status {
        self.flow.status()
    }

    /// Makes and sends what is due, and takes the feedback that has come.
    pub fn run(&mut self, link: &mut Link, now: Duration) {
        if now < self.character.begins {
            return;
        }
        while self.returning.front().is_some_and(|(at, _)| *at <= now) {
            let (_, feedback) = self.returning.pop_front().expect("it is there");
            self.flow.on_feedback(&feedback, now);
            self.follow(now);
        }
        self.make(now);
        while let Step::Send(bytes) | Step::Pad(bytes) = self.flow.step(now) {
            self.send(bytes, link, now);
        }
    }

    /// Sound first; what is left is for the picture.
    fn follow(&mut self, now: Duration) {
        let target = self.flow.status().target;
        let room = (target * 0.8).bits() - 28_000.0;
        let room = room.max(0.0) * SOUND_EVERY.as_secs_f64() / 8.0;
        self.sound = (room as usize).clamp(LEAST_SOUND, SOUND);
        let sound = Rate::of((self.sound + HEADER) as f64, SOUND_EVERY).expect("it takes time");
        let left = Rate::from_bits((target.bits() - sound.bits()).max(0.0) * 0.97);
        self.is_paused = left < self.character.pauses_below;
        let Some((small, ample)) = self.character.tier else {
            self.encoder.ask(left, now);
            return;
        };
        if left < ample {
            self.ample_since = None;
        }
        let since = *self.ample_since.get_or_insert(now);
        if left >= ample && now >= since + UP_AFTER {
            self.character.tier = None;
            self.encoder.begin_anew(left);
            return;
        }
        self.encoder.ask(left.min(small), now);
    }

    fn make(&mut self, now: Duration) {
        while self.next_sound <= now {
            self.next_sound += SOUND_EVERY;
            self.flow
                .push(Class::Audio, self.sound + HEADER, self.sound + HEADER, now);
        }
        let Some(mut frame) = self.encoder.frame(now - self.character.begins) else {
            return;
        };
        if self.is_paused || self.flow.backlog() > BACKLOG {
            self.skipped += 1;
            return;
        }
        while frame > 0 {
            let payload = frame.min(PAYLOAD);
            frame -= payload;
            self.flow
                .push(Class::Video, payload + HEADER, payload + HEADER, now);
        }
    }

    fn send(&mut self, bytes: usize, link: &mut Link, now: Duration) {
        let mark = self.flow.mark();
        self.flow.on_sent(self.sent as u16, bytes, mark, now);
        let parcel = Parcel {
            flow: self.number,
            sequence: self.sent,
            bytes: bytes + OVERHEAD,
        };
        self.sent += 1;
        link.push(parcel, now);
    }

    /// A packet reaches the receiver.
    pub fn arrive(&mut self, parcel: Parcel, at: Duration) {
        let clock = at.as_micros() as i64 + CLOCK;
        self.receiver.arrived.push((parcel.sequence, clock));
    }

    /// The receiver reports, if it is time.
    pub fn report(&mut self, back: Duration, now: Duration) {
        let receiver = &mut self.receiver;
        if now < receiver.next_report || receiver.arrived.is_empty() {
            return;
        }
        receiver.next_report = now + self.character.feedback_every;
        let last = receiver
            .arrived
            .iter()
            .map(|one| one.0)
            .max()
            .expect("one arrived");
        let count = (last + 1 - receiver.reported) as usize;
        let mut arrivals = vec![None; count];
        for (sequence, clock) in receiver.arrived.drain(..) {
            arrivals[(sequence - receiver.reported) as usize] = Some(Arrival(clock));
        }
        let written = Feedback {
            base: receiver.reported as u16,
            arrivals,
        }
        .write();
        receiver.reported = last + 1;
        let read = Feedback::parse(&written).expect("what is written can be read");
        self.returning.push_back((now + back, read));
    }
}
