//! The place of a source: it plays there, or something else does while its device is away. [`presence`](super::presence)
//! decides.

use std::time::{Duration, Instant};

use gstreamer as gst;

use super::devices::{DeviceKind, Missing};
use super::fanout::Outlet;
use super::presence::{Act, Presence};
use super::source::{Ears, Material, Plan, Source};
use super::{DeviceNews, MediaError, MediaEvent, MediaKind, slate};
use crate::pipeline::change::Setting;

/// One kind's source, with what stands in for it.
#[derive(Debug)]
pub(super) struct Place {
    kind: MediaKind,
    outlet: Outlet,
    ears: Ears,
    source: Option<Source>,
    stand_in: Option<Source>,
    /// None where there is no device to wait for: none is wanted, or nothing is captured.
    presence: Option<Presence>,
    /// The source has given frames once.
    has_given: bool,
    /// Its device is away, and that was told.
    is_lost: bool,
}

impl Place {
    /// Opens a plan's source, or what stands in for it. Nothing is captured where the description has no fragment of the
    /// kind, or neither its device nor a fallback is there. Blocks: not for async threads.
    ///
    /// # Errors
    /// What is wrong with the description, or keeps a source that needs no device from starting.
    pub fn open(
        plan: &Plan,
        kind: MediaKind,
        outlet: &Outlet,
        ears: &Ears,
    ) -> Result<Self, MediaError> {
        let mut place = Self {
            kind,
            outlet: outlet.clone(),
            ears: ears.clone(),
            source: None,
            stand_in: None,
            presence: None,
            has_given: false,
            is_lost: false,
        };
        let now = Instant::now();
        let missing = match plan.build(kind)? {
            Material::Nothing => return Ok(place),
            Material::Missing(missing) => missing,
            Material::Ready(built, notices) => {
                place.notice_all(notices);
                let started = Source::start(*built, kind, &plan.settings, outlet, ears);
                let mut presence = Presence::new(plan.interval(kind), !plan.has_device(kind), now);
                match started {
                    Ok(source) => place.source = Some(source),
                    Err(error) if plan.has_device(kind) => {
                        presence.refused(now);
                        place.lose(plan, error.to_string())?;
                    }
                    Err(error) => return Err(error),
                }
                place.presence = Some(presence);
                return Ok(place);
            }
        };
        let Some((built, name)) = plan.fallback(kind)? else {
            place.notice(format!("{missing}; nothing is sent instead"));
            return Ok(place);
        };
        place.notice(format!("{missing}; {name} is sent instead"));
        let is_wanted = !matches!(missing, Missing::Unwanted(_));
        if is_wanted {
            let mut presence = Presence::new(plan.interval(kind), false, now);
            presence.refused(now);
            place.presence = Some(presence);
        }
        if is_wanted && kind == MediaKind::Video {
            slate::write_on(&built, &slate::text(plan, kind))?;
        }
        let stand_in = Source::start(built, kind, &plan.settings, outlet, ears)?;
        place.stand_in = Some(stand_in);
        Ok(place)
    }

    /// Waits until frames pass. Blocks: not for async threads.
    pub fn prove(&self, limit: Duration) -> Result<(), MediaError> {
        let newest = self.stand_in.as_ref().or(self.source.as_ref());
        newest.map_or(Ok(()), |source| source.prove(limit))
    }

    /// Whether anything is sent from here.
    pub fn is_captured(&self) -> bool {
        self.source.is_some() || self.stand_in.is_some()
    }

    /// Sets a property of the source while it plays; false where something stands in for it, or it does not take it.
    pub fn set(&self, setting: &Setting) -> bool {
        let source = self.source.as_ref().filter(|_| self.stand_in.is_none());
        source.is_some_and(|source| source.set(setting).is_ok())
    }

    /// The running pipelines, for pictures of them.
    pub fn pipelines(&self) -> impl Iterator<Item = gst::Pipeline> {
        let sources = [&self.source, &self.stand_in].into_iter().flatten();
        sources.map(|source| source.pipeline().clone())
    }

    /// Who is told of it.
    pub fn ears(&self) -> &Ears {
        &self.ears
    }

    /// Another one takes its place.
    pub fn succeed(&mut self, next: Self) {
        let former = std::mem::replace(self, next);
        if former.is_lost && !self.is_lost {
            self.tell(None);
        }
    }

    /// Stops all that plays here and frees the device.
    pub fn stop(&mut self) {
        self.presence = None;
        self.source = None;
        self.stand_in = None;
    }

    /// Looks after the source. Opens devices and stops pipelines: not for async threads.
    pub fn look(&mut self, plan: &Plan, now: Instant) {
        if let Err(error) = self.try_to_look(plan, now) {
            self.ears.tell(MediaEvent::Failed(error));
        }
    }

    fn try_to_look(&mut self, plan: &Plan, now: Instant) -> Result<(), MediaError> {
        if let Some(error) = self.stand_in.as_ref().and_then(Source::failure) {
            self.stand_in = None;
            return Err(error);
        }
        let Some(presence) = &mut self.presence else {
            return Ok(());
        };
        let source = self.source.as_ref();
        let failure = source.and_then(Source::failure);
        let frames = source.map_or(0, Source::frames);
        self.has_given |= frames > 0;
        match presence.look(frames, failure.is_some(), now) {
            Act::Nothing => Ok(()),
            Act::StandIn => {
                let reason = format!("it gives no {}", self.kind);
                self.lose(plan, reason)
            }
            Act::Close => {
                self.close();
                match failure {
                    // What needs no device and never worked will not work later.
                    Some(error) if !plan.has_device(self.kind) && !self.has_given => {
                        self.presence = None;
                        Err(error)
                    }
                    Some(error) => self.lose(plan, error.to_string()),
                    None => Ok(()),
                }
            }
            Act::Open => {
                self.reopen(plan, now);
                Ok(())
            }
            Act::Return => {
                self.take_back();
                Ok(())
            }
        }
    }

    /// Closes the source. A device that hangs may take its time for that.
    fn close(&mut self) {
        let source = self.source.take();
        std::thread::spawn(move || drop(source));
    }

    /// Something else is sent from now on, where it is not already.
    fn lose(&mut self, plan: &Plan, reason: String) -> Result<(), MediaError> {
        if self.stand_in.is_none() {
            let built = slate::build(plan, self.kind)?;
            let (outlet, ears) = (&self.outlet, &self.ears);
            let stand_in = Source::start(built, self.kind, &plan.settings, outlet, ears)?;
            self.stand_in = Some(stand_in);
        }
        if !std::mem::replace(&mut self.is_lost, true) {
            self.tell(Some(reason));
        }
        Ok(())
    }

    /// Opens the source beside what stands in.
    fn reopen(&mut self, plan: &Plan, now: Instant) {
        let opened = match plan.build(self.kind) {
            Ok(Material::Ready(built, notices)) => {
                let (outlet, ears) = (&self.outlet, &self.ears);
                let started = Source::start(*built, self.kind, &plan.settings, outlet, ears);
                started
                    .map(|source| (source, notices))
                    .map_err(|error| error.to_string())
            }
            Ok(Material::Missing(missing)) => Err(missing.to_string()),
            Ok(Material::Nothing) => Err("nothing is captured".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok((source, notices)) => {
                self.source = Some(source);
                if !self.is_lost {
                    self.notice_all(notices);
                }
            }
            Err(reason) => {
                tracing::debug!(kind = %self.kind, reason, "the device is not back");
                if let Some(presence) = &mut self.presence {
                    presence.refused(now);
                }
            }
        }
    }

    /// The source gives frames again.
    fn take_back(&mut self) {
        if let Some(source) = &self.source {
            source.retake();
        }
        self.stand_in = None;
        if std::mem::take(&mut self.is_lost) {
            self.tell(None);
        }
    }

    fn tell(&self, lost: Option<String>) {
        let device = match self.kind {
            MediaKind::Video => DeviceKind::Camera,
            MediaKind::Audio => DeviceKind::Microphone,
        };
        let news = DeviceNews { device, lost };
        self.ears.tell(MediaEvent::Device(news));
    }

    fn notice(&self, text: String) {
        self.ears.tell(MediaEvent::Notice(text));
    }

    fn notice_all(&self, texts: Vec<String>) {
        texts.into_iter().for_each(|text| self.notice(text));
    }
}
