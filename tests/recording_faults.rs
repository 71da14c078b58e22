//! Recordings on disks that are full, slow, read-only or gone; and the manifest that tells of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/encode.rs"]
mod encode;
#[path = "support/matroska.rs"]
mod matroska;
#[path = "support/media.rs"]
mod media;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{self, Audio, Video};
use attache::recording::manifest::{GapReason, State, TrackCodec, TrackKind};
use attache::recording::report::{Event, Report, Stem, WriteError};
use attache::recording::writer::Writer;
use attache::recording::{Because, End, Format, Manifest, Recording, RecordingError, Settings};
use attache::signalling::ids::Generation;
use attache::signalling::protocol::{Kind, Participant, Sends};
use encode::{audio, interleaved, video};
use gstreamer as gst;
use matroska::Skeleton;
use media::{Content, SecondOpinion};
use time::OffsetDateTime;
use tokio::sync::mpsc::{self, UnboundedReceiver};

const BOTH: Sends = Sends {
    audio: true,
    video: true,
};
const SMALL: (u32, u32) = (160, 120);
const LIMIT: Duration = Duration::from_secs(20);

fn writer(folder: &Path) -> (Writer, UnboundedReceiver<Report>) {
    let (events, reports) = mpsc::unbounded_channel();
    let stem = Stem::new(OffsetDateTime::UNIX_EPOCH, "bob".parse().unwrap(), 1);
    let format = Format::default();
    (
        Writer::new(folder.to_owned(), stem, BOTH, format, events),
        reports,
    )
}

fn push(writer: &Writer, samples: &[(MediaKind, gst::Sample)]) {
    for (kind, sample) in samples {
        writer.push(*kind, sample.clone());
    }
}

async fn finish(writer: &Writer, why: End) -> attache::recording::writer::Summary {
    tokio::time::timeout(LIMIT, writer.finish(why))
        .await
        .expect("the writer finishes")
}

async fn until<T>(
    reports: &mut UnboundedReceiver<Report>,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let report = reports.recv().await.expect("there is more to be told");
            if let Some(found) = wanted(report.event) {
                return found;
            }
        }
    };
    tokio::time::timeout(LIMIT, found)
        .await
        .expect("the event comes in time")
}

fn failure(event: Event) -> Option<WriteError> {
    if let Event::Failed(error) = event {
        Some(error)
    } else {
        None
    }
}

/// A small file system of its own; `None` where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kilobytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "none"])
            .arg(folder.path())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_is_written_plays() {
    let Some(disk) = SmallDisk::mount(64) else {
        println!("skipped: mounting a tmpfs is not allowed here");
        return;
    };
    let (writer, mut reports) = writer(disk.0.path());
    let media = interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..20_000)),
        (Audio, audio(0..20_000)),
    ]);
    let size: usize = media
        .iter()
        .map(|(_, sample)| sample.buffer().unwrap().size())
        .sum();
    assert!(size > 70_000, "{size} bytes fit on the disk");
    push(&writer, &media);
    let error = until(&mut reports, failure).await;
    let WriteError::DiskFull { path, bytes } = &error else {
        panic!("{error}")
    };
    let summary = finish(&writer, End::Left).await;
    let length = std::fs::metadata(path).unwrap().len();
    // Half a cluster is cut off, and the cues fit where it was.
    assert_eq!(summary.files[0].bytes, length);
    assert!(length >= *bytes && *bytes > 50_000, "{length} {bytes}");
    assert!(!Skeleton::of(path).cues.is_empty());

    let content = Content::of(path);
    assert!(
        content.flashes().len() >= 3 && content.beeps().len() >= 3,
        "{:?}",
        content.flashes()
    );
    assert!(content.offsets().iter().all(|offset| offset.abs() < 12.0));
    assert_eq!(SecondOpinion::of(path).complaints, "");
}

#[tokio::test]
async fn a_file_that_vanishes_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, mut reports) = writer(folder.path());
    push(
        &writer,
        &interleaved([
            (Video, video(Codec::Vp8, SMALL, 0..1000)),
            (Audio, audio(0..1000)),
        ]),
    );
    let file = until(&mut reports, |event| {
        if let Event::Started(file) = event {
            Some(file)
        } else {
            None
        }
    })
    .await;
    std::fs::remove_file(folder.path().join(file.file)).unwrap();
    let error = until(&mut reports, failure).await;
    assert!(matches!(error, WriteError::Vanished { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_with_its_name() {
    let folder = PathBuf::from("/proc/attache-recordings");
    let (writer, mut reports) = writer(&folder);
    push(
        &writer,
        &interleaved([
            (Video, video(Codec::Vp8, SMALL, 0..1000)),
            (Audio, audio(0..1000)),
        ]),
    );
    let error = until(&mut reports, failure).await;
    assert!(
        matches!(error, WriteError::Create { .. })
            && error.to_string().contains("/proc/attache-recordings"),
        "{error}"
    );
    assert!(finish(&writer, End::Left).await.files.is_empty());

    let room = "lobby".parse().unwrap();
    let settings = Settings {
        out: folder,
        description: None,
        room,
        job: "job1".parse().unwrap(),
        names: false,
        format: Format::default(),
        beside: Default::default(),
        limits: Default::default(),
    };
    let error = Recording::create(settings).await.unwrap_err();
    assert!(matches!(error, RecordingError::Folder { .. }), "{error}");
}

#[tokio::test]
async fn a_disk_that_does_not_keep_up_costs_frames_not_memory_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (events, mut reports) = mpsc::unbounded_channel();
    let stem = Stem::new(OffsetDateTime::UNIX_EPOCH, "bob".parse().unwrap(), 1);
    // The writer's thread asks for the wall clock when it begins the file: there it stands still, as at a stalled disk.
    let (release, released) = blocking::channel::<()>();
    let released = Mutex::new(released);
    let wall = Arc::new(move |at: Duration| {
        let _ = released.lock().unwrap().recv();
        OffsetDateTime::UNIX_EPOCH + at
    });
    let (place, format) = (folder.path().to_owned(), Format::default());
    let writer = Writer::with_wall_clock(place, stem, BOTH, format, events, wall);

    // So many frames that some 512 bytes of overhead each fill the queue.
    let second = interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..10_000)),
        (Audio, audio(0..10_000)),
    ]);
    let moved = |(kind, sample): &(MediaKind, gst::Sample), by: u64| {
        let mut buffer = sample.buffer_owned().unwrap();
        let at = encode::at(sample) + Duration::from_secs(by);
        buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(
            u64::try_from(at.as_nanos()).unwrap(),
        ));
        (
            *kind,
            gst::Sample::builder()
                .buffer(&buffer)
                .caps(&sample.caps_owned().unwrap())
                .build(),
        )
    };
    let stretch = |by: u64| {
        second
            .iter()
            .map(|sample| moved(sample, by))
            .collect::<Vec<_>>()
    };
    for tens in 0..30 {
        push(&writer, &stretch(tens * 10));
    }
    let dropped = until(&mut reports, |event| {
        if let Event::Behind { dropped } = event {
            Some(dropped)
        } else {
            None
        }
    })
    .await;
    assert!(dropped > 0);
    drop(release);
    until(&mut reports, |event| {
        matches!(event, Event::Progress(_)).then_some(())
    })
    .await;
    push(&writer, &stretch(300));
    let summary = finish(&writer, End::Left).await;

    assert!(summary.dropped > 1000, "{}", summary.dropped);
    assert!(summary.error.is_none());
    let content = Content::of(&folder.path().join(&summary.files[0].file));
    assert!(
        content
            .pictures
            .iter()
            .all(|picture| picture.contrast < 40.0),
        "no picture is torn"
    );
    let after: Vec<_> = content
        .flashes()
        .into_iter()
        .filter(|at| at.as_secs() >= 300)
        .collect();
    assert_eq!(after.len(), 10, "the recording goes on when the disk does");
    // The encoder begins anew at each stretch, which blurs its first beep.
    assert!(content.offsets().iter().all(|offset| offset.abs() < 20.0));
}

fn participant(id: &str, name: &str) -> Participant {
    Participant {
        id: id.parse().unwrap(),
        kind: Kind::Person,
        name: Some(name.to_owned()),
        identity: None,
        sends: BOTH,
        recording: false,
        recordable: true,
        enhances: None,
    }
}

async fn recording(out: &Path, names: bool) -> (Recording, UnboundedReceiver<Report>) {
    let (room, job) = ("lobby".parse().unwrap(), "job1".parse().unwrap());
    Recording::create(Settings {
        out: out.to_owned(),
        description: None,
        room,
        job,
        names,
        format: Format::default(),
        beside: Default::default(),
        limits: Default::default(),
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn the_manifest_tells_who_was_recorded_when_into_which_files() {
    let out = tempfile::tempdir().unwrap();
    let (mut recording, _reports) = recording(&out.path().join("deep/recordings"), false).await;
    let folder = recording.folder().to_owned();
    assert_eq!(Manifest::load(&folder).unwrap().state, State::Recording);

    let (alice, bob) = (
        recording.write(&participant("alice", "Alice A.")),
        recording.write(&participant("bob", "Bob B.")),
    );
    push(
        &alice,
        &interleaved([
            (Video, video(Codec::H264, SMALL, 500..3000)),
            (Audio, audio(0..3000)),
        ]),
    );
    finish(&alice, End::Left).await;
    finish(&bob, End::Lost).await;
    let again = recording.write(&participant("alice", "Alice A."));
    push(&again, &interleaved([(Audio, audio(0..1000))]));
    finish(&again, End::Stopped).await;
    recording.finish(Because::Stopped).await.unwrap();

    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(
        (
            manifest.version,
            manifest.room.as_str(),
            manifest.job.as_str()
        ),
        (2, "lobby", "job1")
    );
    assert_eq!(manifest.state, State::Finished);
    assert!(manifest.finished.unwrap() >= manifest.started);
    let visits: Vec<_> = manifest
        .visits
        .iter()
        .map(|visit| (visit.participant.as_str(), visit.ended, visit.files.len()))
        .collect();
    assert_eq!(
        visits,
        [
            ("alice", Some(End::Left), 1),
            ("bob", Some(End::Lost), 0),
            ("alice", Some(End::Stopped), 1)
        ]
    );
    let file = &manifest.visits[0].files[0];
    assert!(file.finished);
    assert_eq!(
        file.bytes,
        std::fs::metadata(folder.join(&file.file)).unwrap().len()
    );
    assert!(
        file.duration_ms.abs_diff(3010) <= 10,
        "{}",
        file.duration_ms
    );
    let tracks: Vec<_> = file
        .tracks
        .iter()
        .map(|track| (track.codec, track.offset_ms))
        .collect();
    assert_eq!(tracks, [(TrackCodec::H264, 500), (TrackCodec::Opus, 0)]);
    assert_eq!(
        (
            file.tracks[0].sizes[0].width,
            file.tracks[0].sizes[0].height
        ),
        SMALL
    );
    assert_ne!(file.file, manifest.visits[2].files[0].file);

    let text = std::fs::read_to_string(folder.join("recording.json")).unwrap();
    assert!(!text.contains("Alice"), "display names are private");
}

#[tokio::test]
async fn the_manifest_tells_mutes_and_where_media_is_missing_and_why() {
    let out = tempfile::tempdir().unwrap();
    let (mut recording, _reports) = recording(out.path(), false).await;
    let folder = recording.folder().to_owned();
    let alice = recording.write(&participant("alice", "Alice A."));
    alice.set_generation(Generation(1));
    push(
        &alice,
        &interleaved([
            (Video, video(Codec::Vp8, SMALL, 0..4000)),
            (Audio, audio(0..1000)),
            (Audio, audio(2000..4000)),
        ]),
    );
    let muted = Sends {
        audio: true,
        video: false,
    };
    alice.set_sends(muted);
    alice.set_sends(BOTH);
    push(
        &alice,
        &interleaved([(Video, video(Codec::Vp8, SMALL, 7000..8000))]),
    );
    finish(&alice, End::Left).await;
    recording.finish(Because::Duration).await.unwrap();

    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(manifest.ended, Some(Because::Duration));
    let visit = &manifest.visits[0];
    assert_eq!(visit.generations[0].generation, Generation(1));
    let [mute] = visit.mutes[..] else {
        panic!("one mute: {:?}", visit.mutes)
    };
    assert_eq!(mute.kind, TrackKind::Video);
    assert!(mute.to.unwrap() >= mute.from);
    let begin = visit.files[0].started;
    let gaps: Vec<_> = visit
        .gaps
        .iter()
        .map(|gap| {
            let from = (gap.from - begin).whole_milliseconds();
            let to = (gap.to - begin).whole_milliseconds();
            (gap.kind, from, to)
        })
        .collect();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let sound = gaps.iter().find(|gap| gap.0 == TrackKind::Audio).unwrap();
    // The last frame of Opus is padded.
    assert!((1000..=1020).contains(&sound.1), "{gaps:?}");
    assert_eq!(sound.2, 2000);
    let pictures = gaps.iter().find(|gap| gap.0 == TrackKind::Video).unwrap();
    assert!((3966..=4001).contains(&pictures.1), "{gaps:?}");
    assert_eq!(pictures.2, 7000);
    assert_eq!(visit.gaps[0].reason, GapReason::Lost);
}

#[tokio::test]
async fn display_names_are_written_down_where_that_is_wanted_and_only_the_owner_reads() {
    let out = tempfile::tempdir().unwrap();
    let (mut recording, _reports) = recording(out.path(), true).await;
    let folder = recording.folder().to_owned();
    let alice = recording.write(&participant("alice", "Alice A."));
    push(&alice, &interleaved([(Audio, audio(0..1000))]));
    finish(&alice, End::Left).await;
    recording.finish(Because::Stopped).await.unwrap();
    assert_eq!(
        Manifest::load(&folder).unwrap().visits[0].name.as_deref(),
        Some("Alice A.")
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn two_recordings_of_a_room_in_the_same_second_have_folders_of_their_own() {
    let out = tempfile::tempdir().unwrap();
    let (first, _) = recording(out.path(), false).await;
    let (second, _) = recording(out.path(), false).await;
    assert_ne!(first.folder(), second.folder());
}
