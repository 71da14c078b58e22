//! A sound card that runs fast, for every sender of this process.

use std::sync::atomic::{AtomicU32, Ordering};

use gst::prelude::*;
use gst::subclass::prelude::*;
use gstreamer as gst;

/// So many parts of a million is the sound's clock fast: 25 times what the worst sound cards are.
const FAST: u64 = 5_000;

/// Lets the sound's RTP clock of every sender in this process run fast, as that of a sound card does which is not right:
/// its time stamps and what its reports say of them are of that clock, pictures are not.
#[derive(Default)]
pub struct FastCard;

#[gst::glib::object_subclass]
impl ObjectSubclass for FastCard {
    const NAME: &'static str = "AttacheTestFastCard";
    type Type = FastCardTracer;
    type ParentType = gst::Tracer;
}

gst::glib::wrapper! {
    pub struct FastCardTracer(ObjectSubclass<FastCard>) @extends gst::Tracer, gst::Object;
}

impl ObjectImpl for FastCard {
    fn constructed(&self) {
        self.parent_constructed();
        self.register_hook(TracerHook::ElementNew);
    }
}

impl GstObjectImpl for FastCard {}

impl TracerImpl for FastCard {
    fn element_new(&self, _: u64, element: &gst::Element) {
        let factory = element.factory().map(|factory| factory.name().to_string());
        if factory.as_deref() != Some("rtpopuspay") {
            return;
        }
        let first = AtomicU32::new(0);
        let source = element.static_pad("src").expect("a payloader's pad");
        source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let packet = info.buffer_mut().expect("a packet").make_mut();
            let mut map = packet.map_writable().expect("its bytes");
            let stamp: &mut [u8] = &mut map[4..8];
            let at = u32::from_be_bytes([stamp[0], stamp[1], stamp[2], stamp[3]]);
            let first = match first.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => at,
                Err(first) => first,
            };
            let since = u64::from(at.wrapping_sub(first));
            let moved = at.wrapping_add((since * FAST / 1_000_000) as u32);
            stamp.copy_from_slice(&moved.to_be_bytes());
            gst::PadProbeReturn::Ok
        });
    }
}

/// From now on, for as long as what is returned is kept.
pub fn insert() -> FastCardTracer {
    gst::glib::Object::new()
}
