//! A small JPEG of one key frame: decoded, scaled, encoded in a pipeline that lives as long as that takes.

use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::media::{Codec, decoder};
use crate::recording::report::Size;

/// Pixels of the longer side, at most.
const LONGEST: u32 = 320;
/// JPEG's quality, of 100.
const QUALITY: u32 = 80;
/// A machine that takes longer for one picture has no time for any.
const LIMIT: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The picture of a key frame as JPEG. Waits for it: not for streaming threads.
///
/// # Errors
/// Where elements are missing, or the frame cannot be decoded, in words.
pub fn of(key_frame: &gst::SampleRef, codec: Codec, size: Size) -> Result<Vec<u8>> {
    let chain = decoder::chain(codec).context("pictures are not of this codec")?;
    let Size { width, height } = small(size);
    let launch = format!(
        "appsrc name=in format=time ! {chain} ! videoscale \
         ! capsfilter caps=video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 \
         ! jpegenc quality={QUALITY} ! appsink name=out sync=false"
    );
    let pipeline = gst::parse::launch(&launch)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow!("one chain is no pipeline"))?;
    let taken = take(&pipeline, key_frame);
    pipeline.set_state(gst::State::Null)?;
    taken
}

fn take(pipeline: &gst::Pipeline, key_frame: &gst::SampleRef) -> Result<Vec<u8>> {
    let element = |name| pipeline.by_name(name).context("an end of the pipeline");
    let source = element("in")?.downcast::<gst_app::AppSrc>();
    let sink = element("out")?.downcast::<gst_app::AppSink>();
    let (Ok(source), Ok(sink)) = (source, sink) else {
        bail!("the ends of the pipeline are no application's");
    };
    source.set_caps(key_frame.caps_owned().as_ref());
    pipeline.set_state(gst::State::Playing)?;
    let frame = key_frame.buffer_owned().context("a frame without bytes")?;
    source.push_buffer(frame)?;
    source.end_of_stream()?;
    let Some(jpeg) = sink.try_pull_sample(LIMIT) else {
        let errors = [gst::MessageType::Error];
        let found = pipeline.bus().and_then(|bus| bus.pop_filtered(&errors));
        return Err(match found.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => anyhow!("{}", error.error()),
            Some(_) | None => anyhow!("no picture came of the key frame within {LIMIT}"),
        });
    };
    let buffer = jpeg.buffer().context("a picture without bytes")?;
    Ok(buffer.map_readable()?.to_vec())
}

/// In the same proportion, even, and no larger than it is.
fn small(size: Size) -> Size {
    let longer = size.width.max(size.height).max(1);
    let scaled = |side: u32| {
        let side = match longer > LONGEST {
            true => u64::from(side) * u64::from(LONGEST) / u64::from(longer),
            false => u64::from(side),
        };
        // No more than LONGEST.
        (u32::try_from(side).unwrap_or(LONGEST) & !1).max(2)
    };
    Size {
        width: scaled(size.width),
        height: scaled(size.height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_is_small_and_keeps_its_proportion() {
        let cases = [
            ((1280, 720), (320, 180)),
            ((720, 1280), (180, 320)),
            ((160, 120), (160, 120)),
            ((321, 1), (320, 2)),
            ((0, 0), (2, 2)),
        ];
        for ((width, height), expected) in cases {
            let small = small(Size { width, height });
            assert_eq!((small.width, small.height), expected);
        }
    }
}
