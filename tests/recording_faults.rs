//! Recordings on disks that are full, slow, read-only or gone; and the manifest that tells of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/encode.rs"]
mod encode;
#[path = "support/matroska.rs"]
mod matroska;
#[path = "support/media.rs"]
mod media;
#[path = "support/trial.rs"]
mod trial;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::time::Duration;

use attache::media::Codec;
use attache::media::MediaKind::{self, Audio, Video};
use attache::recording::manifest::{GapReason, State, TrackCodec, TrackKind};
use attache::recording::report::{Event, News, Stem, WriteError};
use attache::recording::writer::Writer;
use attache::recording::{Because, End, Format, Manifest, Places, RecordingError, Settings};
use attache::signalling::ids::Generation;
use disk::SmallDisk;
use encode::{audio, interleaved, video};
use gstreamer as gst;
use matroska::Skeleton;
use media::{Content, SecondOpinion};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use trial::{
    BOTH, EPOCH, SMALL, SOUND, Trial, failure, finish, participant, push, recording, settings,
    until,
};

/// Twenty seconds of flashes and beeps: some 100 kB.
fn call() -> Vec<(MediaKind, gst::Sample)> {
    interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..20_000)),
        (Audio, audio(0..20_000)),
    ])
}

fn second() -> Vec<(MediaKind, gst::Sample)> {
    interleaved([
        (Video, video(Codec::Vp8, SMALL, 0..1000)),
        (Audio, audio(0..1000)),
    ])
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_is_written_plays() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path(), 64);
    let mut trial = Trial::at(Places::alone(folder.path().to_owned()));
    trial.push(&call());
    let error = trial.until(failure).await;
    let WriteError::DiskFull { path, bytes } = &error else {
        panic!("{error}")
    };
    let summary = trial.finish().await;
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
async fn what_a_full_disk_does_not_take_goes_to_the_second_folder_from_the_next_key_frame_on() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _disk = SmallDisk::mount(folder.path(), 64);
    let second = other.path().join("lobby");
    let mut trial = Trial::at(Places::new(folder.path().to_owned(), Some(second.clone())));
    trial.push(&call());
    let summary = trial.finish().await;
    let [before, after] = &summary.files[..] else {
        panic!("two files: {summary:?}")
    };
    assert_eq!(after.file, second.join("20261122T081530Z-alice-2.webm"));
    assert_eq!((before.part, after.part), (1, 2));
    let begin = (after.started - EPOCH).whole_milliseconds();
    // Nobody makes a key frame here because it is asked for: there is one every two seconds, and sound waits for one.
    let picture = after.tracks.iter().find(|track| track.codec == Codec::Vp8);
    let at = after.started + picture.unwrap().offset - EPOCH;
    assert_eq!(at.whole_milliseconds() % 2000, 0, "{at}");
    let lit = |content: &Content, from: i128| {
        let flashes = content.flashes().into_iter();
        let times = flashes.map(move |at| from + i128::try_from(at.as_millis()).unwrap());
        times.collect::<Vec<_>>()
    };
    let (first, rest) = (trial.content(before), trial.content(after));
    let flashes = [lit(&first, 0), lit(&rest, begin)].concat();
    assert!(flashes.iter().all(|at| at % 1000 <= 1), "{flashes:?}");
    assert!(flashes.len() >= 17, "two or three are lost: {flashes:?}");
    assert_eq!(SecondOpinion::of(&after.file).complaints, "");

    let mut gaps = trial.events();
    gaps.retain(|event| matches!(event, Event::Gap { .. }));
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    for event in gaps {
        let Event::Gap {
            kind,
            from,
            to,
            disk,
        } = event
        else {
            unreachable!()
        };
        assert!(disk);
        let decoded = match kind {
            Audio => first.sound.last().unwrap().at,
            Video => first.pictures.last().unwrap().at,
        };
        let until = Duration::try_from(from - before.started).unwrap();
        assert!(
            until.abs_diff(decoded) <= Duration::from_millis(35),
            "{until:?} {decoded:?}"
        );
        let track = after.tracks.iter().find(|track| track.codec.kind() == kind);
        assert_eq!(to, after.started + track.unwrap().offset);
    }
}

#[tokio::test]
async fn a_file_that_vanishes_is_told() {
    let mut trial = Trial::new(BOTH);
    trial.push(&second());
    let file = trial
        .until(|event| match event {
            Event::Started(file) => Some(file),
            _ => None,
        })
        .await;
    std::fs::remove_file(trial.path(&file)).unwrap();
    let error = trial.until(failure).await;
    assert!(matches!(error, WriteError::Vanished { .. }), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_with_its_name_and_nobody_is_kept_from_the_call() {
    let folder = PathBuf::from("/proc/attache-recordings");
    let mut trial = Trial::at(Places::alone(folder.clone()));
    trial.push(&second());
    let error = trial.until(failure).await;
    assert!(
        matches!(error, WriteError::Create { .. })
            && error.to_string().contains("/proc/attache-recordings"),
        "{error}"
    );
    assert!(trial.finish().await.files.is_empty());

    let (going_on, mut news) = recording(settings(&folder)).await;
    let told = news.recv().await.unwrap();
    assert!(
        matches!(&told, News::Trouble(RecordingError::Folder { path, .. }) if *path == folder),
        "{told:?}"
    );
    let ended = going_on.finish(Because::Stopped).await.unwrap_err();
    assert!(matches!(ended, RecordingError::Manifest { .. }), "{ended}");
}

#[tokio::test]
async fn a_recording_that_the_disk_took_nothing_of_has_failed_and_says_why() {
    let out = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(out.path(), 64);
    let (mut going_on, _news) = recording(settings(out.path())).await;
    disk.fill();
    let alice = going_on.write(&participant("alice", "Alice A."));
    push(&alice, &second());
    let summary = finish(&alice, End::Left).await;
    let why = summary.error.unwrap();
    assert!(matches!(why, WriteError::Create { .. }), "{why}");
    disk.relieve();
    let folder = going_on.folder().to_owned();
    let ended = going_on.finish(Because::Stopped).await.unwrap_err();
    assert!(matches!(ended, RecordingError::Nothing(_)), "{ended}");
    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(manifest.state, State::Failed);
    assert_eq!(manifest.error, Some(why.to_string()));
    let gap = manifest.visits[0].gaps[0];
    assert_eq!(gap.reason, GapReason::Disk);
    assert!(
        (900..=1000).contains(&(gap.to - gap.from).whole_milliseconds()),
        "{gap:?}"
    );
}

#[tokio::test]
async fn a_manifest_that_its_folder_does_not_take_is_in_the_second_one_until_it_does() {
    let (out, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = SmallDisk::mount(out.path(), 256);
    let (mut going_on, mut news) = recording(Settings {
        second: Some(other.path().to_owned()),
        ..settings(out.path())
    })
    .await;
    let folder = going_on.folder().to_owned();
    let second = other.path().join(folder.file_name().unwrap());
    let alice = going_on.write(&participant("alice", "Alice A."));
    push(&alice, &second_of_sound());
    finish(&alice, End::Left).await;
    let ended = |news: &News| match news {
        News::Visit(report) => matches!(report.event, Event::Ended(_)),
        News::Trouble(trouble) => panic!("{trouble}"),
        News::Speech(_) => false,
    };
    while !ended(&news.recv().await.unwrap()) {}
    disk.fill();
    let bob = going_on.write(&participant("bob", "Bob B."));
    let elsewhere = async {
        loop {
            if let News::Trouble(RecordingError::Elsewhere { second, .. }) =
                news.recv().await.unwrap()
            {
                return second;
            }
        }
    };
    let found = tokio::time::timeout(trial::LIMIT, elsewhere).await;
    assert_eq!(found.expect("it is told"), second);
    // From both folders one finds the same, with the way to alice's file.
    let known = async {
        loop {
            match Manifest::load(&folder).unwrap() {
                known if known.visits.len() == 2 => return known,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let known = tokio::time::timeout(trial::LIMIT, known).await.unwrap();
    let file = &known.visits[0].files[0].file;
    assert_eq!(file.components().count(), 1, "{}", file.display());
    let there = Manifest::load(&second).unwrap();
    assert_eq!(there.visits[0].files[0].file, folder.join(file));

    disk.relieve();
    push(&bob, &second_of_sound());
    finish(&bob, End::Left).await;
    going_on.finish(Because::Stopped).await.unwrap();
    assert!(!second.join("recording.json").exists());
    let manifest = Manifest::load(&folder).unwrap();
    assert_eq!(manifest.state, State::Finished);
}

fn second_of_sound() -> Vec<(MediaKind, gst::Sample)> {
    interleaved([(Audio, audio(0..1000))])
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
    let places = Places::alone(folder.path().to_owned());
    let writer =
        Writer::with_wall_clock(places.into(), stem, BOTH, Format::default(), events, wall);

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

#[tokio::test]
async fn the_manifest_tells_who_was_recorded_when_into_which_files() {
    let out = tempfile::tempdir().unwrap();
    let (mut recording, _reports) = recording(settings(&out.path().join("deep/recordings"))).await;
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
    let (mut recording, _reports) = recording(settings(out.path())).await;
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
    alice.set_sends(SOUND);
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
    let (mut recording, _reports) = recording(Settings {
        names: true,
        ..settings(out.path())
    })
    .await;
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
    let (first, _) = recording(settings(out.path())).await;
    let (second, _) = recording(settings(out.path())).await;
    assert_ne!(first.folder(), second.folder());
}
