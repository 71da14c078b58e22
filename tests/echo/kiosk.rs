//! A kiosk's capture and playback in one process, with a wire from its loudspeaker to its microphone.

use std::time::Duration;

use attache::job::Parameters;
use attache::media::capture::Capture;
use attache::media::choice::Track;
use attache::media::playback::Playback;
use attache::media::{MediaEvent, MediaKind};
use attache::pipeline::Description;
use tokio::sync::mpsc;

use super::room::ALONE;
use super::support::{Consumer, LIMIT, Source, context};

/// What the loudspeaker gives comes into the microphone.
fn wired() -> Description {
    let text = "role = 'kiosk'\nsummary = 'test'\n\
                [capture]\naudio = 'interaudiosrc channel=echo ! attacheaec gain-control=false'\n\
                [playback]\naudio = 'audioconvert ! audioresample ! interaudiosink channel=echo'\n";
    Description::parse("test.toml".as_ref(), "test", text).unwrap()
}

#[tokio::test]
async fn a_kiosk_finds_out_how_late_its_own_sound_comes_back() {
    let _alone = ALONE.lock().await;
    attache::media::init().unwrap();
    let (events, mut receiver) = mpsc::unbounded_channel();
    let (wired, values) = (wired(), Parameters::new());
    let playback = Playback::start(&wired, &values, context(), events.clone())
        .await
        .unwrap();
    let capture = Capture::start(&wired, &values, context(), events)
        .await
        .unwrap();
    let mut sent = Consumer::attach(&capture.raw(MediaKind::Audio).unwrap());
    // Noise has every frequency; a tone comes back at any time.
    let source = Source::noise();
    let who = "other".parse().unwrap();
    let attached = playback.attach(&who, MediaKind::Audio, Track::Original, &source.audio);
    let found = async {
        loop {
            match receiver.recv().await {
                Some(MediaEvent::Notice(text))
                    if text.contains("comes back into the microphone after") =>
                {
                    break;
                }
                Some(MediaEvent::Failed(error)) => panic!("{error}"),
                Some(
                    MediaEvent::Notice(_)
                    | MediaEvent::Encoder(_)
                    | MediaEvent::Speech(_)
                    | MediaEvent::Device(_)
                    | MediaEvent::Filter(_),
                ) => {}
                None => panic!("capture and playback ended"),
            }
        }
    };
    tokio::time::timeout(LIMIT, found)
        .await
        .expect("a delay is found");
    // The sound goes on meanwhile.
    tokio::time::timeout(Duration::from_secs(30), sent.next())
        .await
        .unwrap();
    drop(attached);
    playback.stop().await;
    capture.stop().await;
}
