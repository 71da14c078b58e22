//! One connection's packets: paced, and what becomes of them followed.

use std::time::Duration;

use crate::controller::{Controller, Settings, Status};
use crate::feedback::Feedback;
use crate::pacer::{Class, Pacer, Step};
use crate::probe::ProbeId;
use crate::rate::Rate;

/// How often it looks whether a probe is due.
const TICK: Duration = Duration::from_millis(25);
/// And while nothing waits, unless something comes.
const REST: Duration = Duration::from_millis(100);

/// What a packet that leaves is part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    probe: Option<ProbeId>,
    is_padding: bool,
}

/// Packets on their way out, and the rate that they may have.
///
/// Whoever owns it calls [`Flow::step`] until it says to wait, sends what it says, and tells with [`Flow::on_sent`] as
/// what each went out; those of one [`Flow::mark`] may go together. Times are since any moment, the same for all calls.
#[derive(Debug)]
pub struct Flow<T> {
    pacer: Pacer<T>,
    controller: Controller,
    ticked: Option<Duration>,
    is_padding: bool,
    has_pictures: bool,
}

impl<T> Flow<T> {
    /// One that has sent nothing yet.
    pub fn new(settings: Settings) -> Self {
        let controller = Controller::new(settings);
        Self {
            pacer: Pacer::new(controller.pacing_rate()),
            controller,
            ticked: None,
            is_padding: false,
            has_pictures: false,
        }
    }

    /// Probes may be filled up with padding from now on.
    pub fn allow_padding(&mut self) {
        self.pacer.allow_padding();
    }

    /// More than this is of no use: it is not looked for.
    pub fn set_most(&mut self, most: Rate) {
        self.controller.set_most(most);
    }

    /// Takes a packet; `bytes` is its size. The first picture is the first probe.
    pub fn push(&mut self, class: Class, bytes: usize, packet: T, now: Duration) {
        if class == Class::Video && !self.has_pictures {
            self.has_pictures = true;
            self.ticked = None;
        }
        self.pacer.push(class, bytes, packet, now);
    }

    /// What is to be done now.
    pub fn step(&mut self, now: Duration) -> Step<T> {
        if self.ticked.is_none_or(|at| now >= at + TICK) {
            self.ticked = Some(now);
            self.controller.on_time(now);
            self.refresh(now);
        }
        if let Some(bytes) = self.pacer.end_probe(now) {
            self.controller.on_probe_ended(bytes);
        }
        let step = self.pacer.step(now);
        self.is_padding = matches!(step, Step::Pad(_));
        match step {
            Step::Wait(Duration::MAX) => Step::Wait(now + REST),
            Step::Wait(until) => Step::Wait(until.min(now + TICK)),
            step => step,
        }
    }

    /// What the packet that the last step let go is part of.
    pub fn mark(&self) -> Mark {
        Mark {
            probe: self.pacer.current_probe(),
            is_padding: self.is_padding,
        }
    }

    /// A packet with this mark went out, with this transport-wide sequence number and size.
    pub fn on_sent(&mut self, sequence: u16, bytes: usize, mark: Mark, now: Duration) {
        let probe = (mark.probe, mark.is_padding);
        self.controller.on_sent(sequence, bytes, probe, now);
        if !self.controller.has_heard() {
            self.pacer.hold_until(self.controller.hold_until(now));
        }
    }

    /// Takes what the other side says.
    pub fn on_feedback(&mut self, feedback: &Feedback, now: Duration) {
        self.controller.on_feedback(feedback, now);
        self.refresh(now);
    }

    /// What is known of the link.
    pub fn status(&self) -> Status {
        self.controller.status()
    }

    /// Whether nothing waits here, and no probe is to be sent.
    pub fn is_at_rest(&self) -> bool {
        self.pacer.is_empty()
    }

    /// How long what waits here will take.
    pub fn backlog(&self) -> Duration {
        self.pacer.backlog()
    }

    /// How long what waits here to be sent again will take.
    pub fn backlog_of_retransmissions(&self) -> Duration {
        self.pacer.backlog_of_retransmissions()
    }

    /// Forgets the pictures that wait here, packet by packet: so many.
    pub fn forget_pictures(&mut self) -> usize {
        self.pacer.forget_pictures()
    }

    fn refresh(&mut self, now: Duration) {
        self.pacer.set_rate(self.controller.pacing_rate());
        self.pacer.hold_until(self.controller.hold_until(now));
        // Sound alone needs no more than every link carries.
        if self.has_pictures
            && let Some(plan) = self.controller.probe(now)
        {
            self.pacer.probe(plan, now);
        }
    }
}
