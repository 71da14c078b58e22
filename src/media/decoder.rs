//! What decodes others' frames: one fixed chain for each codec. Nothing is plugged by itself.

use gstreamer as gst;

use super::Codec;

/// The chain in launch syntax, from whole encoded frames to raw ones: `audio/x-raw` S16LE 48 kHz stereo, `video/x-raw` I420.
/// None for what is not received. Caps stand in a `capsfilter` each: the short form needs an element behind it.
pub fn chain(codec: Codec) -> Option<&'static str> {
    let chain = match codec {
        Codec::Aac => return None,
        Codec::Opus => {
            "opusdec plc=true use-inband-fec=true ! audioconvert ! audioresample \
             ! capsfilter caps=audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=2"
        }
        Codec::Vp8 => "vp8dec ! videoconvert ! capsfilter caps=video/x-raw,format=I420",
        Codec::Vp9 => "vp9dec ! videoconvert ! capsfilter caps=video/x-raw,format=I420",
        Codec::Av1 => "av1dec ! videoconvert ! capsfilter caps=video/x-raw,format=I420",
        // One thread: threads by frame hold frames back.
        Codec::H265 => {
            "avdec_h265 max-threads=1 ! videoconvert ! capsfilter caps=video/x-raw,format=I420"
        }
        Codec::H264 => match gst::ElementFactory::find("avdec_h264") {
            Some(_) => {
                "avdec_h264 max-threads=1 ! videoconvert ! capsfilter caps=video/x-raw,format=I420"
            }
            None => "openh264dec ! videoconvert ! capsfilter caps=video/x-raw,format=I420",
        },
    };
    Some(chain)
}
