//! What is left of a recording whose recorder is killed: how much is missing at its end, as it is and recovered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/lossy.rs"]
mod lossy;
#[path = "support/media.rs"]
mod media;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use attache::media::MediaKind;
use attache::recording::manifest::{Manifest, State};
use attache::recording::repair::{RepairError, examine};
use daemon::{Daemon, LIMIT, kill};
use lossy::Lossy;
use media::Content;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use time::OffsetDateTime;

/// At most so much is missing.
const MOST: Duration = Duration::from_millis(500);
/// A recorder is killed at most so long after its sender was connected.
const LONGEST: Duration = Duration::from_secs(6);

/// A recorder's description, and the room that it records.
struct Kind {
    description: &'static str,
    room: &'static str,
    kinds: &'static [MediaKind],
    text: &'static str,
}

use MediaKind::{Audio, Video};

const KINDS: [Kind; 5] = [
    Kind {
        description: "webm",
        room: "both",
        kinds: &[Audio, Video],
        text: "",
    },
    Kind {
        description: "mp4",
        room: "both",
        kinds: &[Audio, Video],
        text: "[settings.video]\ncodecs = [\"h264\"]\n",
    },
    Kind {
        description: "matroska",
        room: "both",
        kinds: &[Audio, Video],
        text: "[recording]\ncontainer = \"matroska\"\n[settings.video]\ncodecs = [\"h264\"]\n",
    },
    Kind {
        description: "ogg",
        room: "both",
        kinds: &[Audio],
        text: "[recording]\nmedia = \"audio\"\n",
    },
    Kind {
        description: "sound-alone",
        room: "sound",
        kinds: &[Audio],
        text: "",
    },
];

/// Descriptions, a server, and a sender in each of the two rooms.
struct Call {
    folder: tempfile::TempDir,
    server: Daemon,
    _senders: [Child; 2],
    network: Option<Lossy>,
}

/// The program; `make bench` names a release build.
fn program() -> String {
    let built = env!("CARGO_BIN_EXE_attache").to_owned();
    std::env::var("ATTACHE_BIN").unwrap_or(built)
}

fn attache() -> Command {
    Command::new(program())
}

/// What a server beyond loopback needs.
const GUARDED: &str = "[server]\nreverse_proxy = true\n[auth]\napi_token = \"a token that opens the API\"\n\
    room_key = \"a key that signs the tokens of rooms, for tests\"\n";

/// For everything in this room of that server.
fn token(server: &Daemon, room: &str) -> String {
    let mut command = attache();
    command.args(["token", "--room", room, "--allow", "join,send,record"]);
    let config = server.folder.path().join("attache.toml");
    let made = command.arg("--config").arg(config).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

impl Call {
    /// On this machine, or with the senders behind a link.
    fn begin(network: Option<Lossy>) -> Self {
        let server = match &network {
            Some(network) => Daemon::start_on(&network.link().here, GUARDED, &[]),
            None => Daemon::start(""),
        };
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/kiosk-test.toml");
        let kiosk = std::fs::read_to_string(shipped).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        };
        write("kiosk", &kiosk);
        let (head, capture) = kiosk.split_once("video = '''").unwrap();
        let (_, sound) = capture.split_once("'''").unwrap();
        write("kiosk-sound", &format!("{head}{sound}"));
        for kind in &KINDS {
            let text = format!("role = \"recorder\"\nsummary = \"a test\"\n{}", kind.text);
            write(kind.description, &text);
        }
        let sender = |description, room: &str| {
            let mut command = match &network {
                Some(network) => network.link().command(&program()),
                None => attache(),
            };
            if network.is_some() {
                command.env("ATTACHE_TOKEN", token(&server, room));
            }
            command.args(["kiosk", "--description", description]);
            if description == "kiosk" {
                command.args(["--set", "width=640", "--set", "height=360"]);
            }
            let (child, lines) = launch(command, folder.path(), &server.url, room);
            lines.until("\"joined\"");
            child
        };
        let senders = [sender("kiosk", "both"), sender("kiosk-sound", "sound")];
        Self {
            folder,
            server,
            _senders: senders,
            network,
        }
    }

    /// Starts a recorder of this kind, kills it so long after its sender was connected, and looks at what it left.
    fn kill_one(&self, kind: &Kind, number: usize, after: Duration) -> Loss {
        let out = self.folder.path().join(format!("out-{number}"));
        let mut command = attache();
        command
            .args(["record", "--description", kind.description, "--out"])
            .arg(&out);
        if self.network.is_some() {
            command.env("ATTACHE_TOKEN", token(&self.server, kind.room));
        }
        let (mut child, lines) = launch(command, self.folder.path(), &self.server.url, kind.room);
        lines.until("\"connected\"");
        let connected = OffsetDateTime::now_utc();
        std::thread::sleep(after);
        let killed = OffsetDateTime::now_utc();
        kill(child.id(), "KILL");
        child.wait().unwrap();
        let recording = std::fs::read_dir(&out).unwrap().flatten().next().unwrap();
        let recording = recording.path();
        let ends = Ends::of(&recording);
        recover(&out);
        let recovered = Ends::of(&recording);
        let manifest = Manifest::load(&recording).unwrap();
        assert_eq!(manifest.state, State::Recovered, "{manifest:#?}");
        for kind in kind.kinds {
            let (left, after) = (ends.of_kind(*kind), recovered.of_kind(*kind));
            let apart = left.zip(after).map(|(left, after)| (left - after).abs());
            // A manifest tells milliseconds; a file that it did not know of tells more.
            let is_same = apart.map_or(left == after, |apart| {
                apart < time::Duration::milliseconds(2)
            });
            assert!(is_same, "{kind:?}: {left:?}, recovered {after:?}");
        }
        let missing = |kind: &MediaKind| {
            let until = ends.of_kind(*kind).unwrap_or(connected).max(connected);
            (killed - until).max(time::Duration::ZERO).unsigned_abs()
        };
        Loss {
            what: kind.description,
            after,
            sound: missing(&Audio),
            missing: kind.kinds.iter().map(missing).max().unwrap(),
        }
    }

    /// One of each kind at once, killed at these instants.
    fn kill_all(&self, round: usize, instants: &[Duration]) -> Vec<Loss> {
        std::thread::scope(|scope| {
            let one = |(index, (kind, after))| {
                let number = round * KINDS.len() + index;
                scope.spawn(move || self.kill_one(kind, number, after))
            };
            let trials = KINDS.iter().zip(instants.iter().copied()).enumerate();
            let running: Vec<_> = trials.map(one).collect();
            let all = running.into_iter().map(|trial| trial.join().unwrap());
            all.collect()
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        for sender in &mut self._senders {
            kill(sender.id(), "TERM");
            let _ = sender.wait();
        }
    }
}

/// What a process prints.
struct Lines(std::sync::mpsc::Receiver<String>);

impl Lines {
    fn until(&self, wanted: &str) {
        let since = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(since.elapsed());
            let line = self.0.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("{wanted} in time: {error}"));
            if line.contains(wanted) {
                return;
            }
        }
    }
}

fn launch(mut command: Command, pipelines: &Path, url: &str, room: &str) -> (Child, Lines) {
    command
        .args([
            "--json",
            "--join",
            &format!("{url}/r/{room}"),
            "--pipelines",
        ])
        .arg(pipelines)
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, received) = channel();
    // Read to its end, so that the pipe never holds the process up.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    (child, Lines(received))
}

fn recover(out: &Path) {
    let mut command = attache();
    let done = command.arg("recover").arg(out).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Until when there is sound, and a picture, on the wall clock.
#[derive(Debug)]
struct Ends {
    sound: Option<OffsetDateTime>,
    picture: Option<OffsetDateTime>,
}

impl Ends {
    /// Decodes every file of a recording. A picture tells its own time; for sound the manifest does.
    fn of(recording: &Path) -> Self {
        let files = std::fs::read_dir(recording).unwrap().flatten();
        let mut ends = Self {
            sound: None,
            picture: None,
        };
        let manifest = Manifest::load(recording).unwrap();
        for file in files.map(|entry| entry.path()) {
            let found = match examine(&file) {
                Ok(found) => found,
                Err(RepairError::NoMedia { .. } | RepairError::Foreign { .. }) => continue,
                Err(error) => panic!("{error}"),
            };
            let content = Content::of(&file);
            let started = started(&manifest, &file).or(found.started);
            let started = started.expect("the manifest or the file tells when it began");
            let sound = content.sound.last().map(|level| started + level.at);
            ends.sound = ends.sound.max(sound);
            let picture = content.pictures.last().map(|picture| {
                let made = picture.made.expect("the picture's time code");
                let apart = (started + picture.at - made).abs();
                assert!(apart < time::Duration::milliseconds(300), "{apart}");
                made
            });
            ends.picture = ends.picture.max(picture);
            let beeps = content.beeps();
            let seconds = content.sound.last().map_or(0, |level| level.at.as_secs());
            assert!(beeps.len() as u64 + 1 >= seconds, "{beeps:?}");
        }
        ends
    }

    fn of_kind(&self, kind: MediaKind) -> Option<OffsetDateTime> {
        match kind {
            Audio => self.sound,
            Video => self.picture,
        }
    }
}

fn started(manifest: &Manifest, file: &Path) -> Option<OffsetDateTime> {
    let mut known = manifest.visits.iter().flat_map(|visit| &visit.files);
    let its = known.find(|entry| Some(entry.file.as_os_str()) == file.file_name());
    its.map(|entry| entry.started)
}

#[derive(Debug)]
struct Loss {
    #[allow(dead_code, reason = "it is printed")]
    what: &'static str,
    #[allow(dead_code, reason = "it is printed")]
    after: Duration,
    /// Of the sound.
    sound: Duration,
    /// Of what there is less of.
    missing: Duration,
}

fn rounds(count: usize, network: Option<Lossy>) -> Vec<Loss> {
    let seed = OffsetDateTime::now_utc().unix_timestamp().unsigned_abs();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let call = Call::begin(network);
    let mut losses = Vec::new();
    for round in 0..count {
        let instants = KINDS
            .each_ref()
            .map(|_| random.random_range(Duration::ZERO..LONGEST));
        let found = call.kill_all(round, &instants);
        println!("{found:#?}");
        losses.extend(found);
    }
    losses
}

#[test]
fn a_killed_recorder_loses_no_more_than_half_a_second_and_its_files_play() {
    for loss in rounds(1, None) {
        assert!(loss.missing <= MOST, "{loss:?}");
    }
}

#[test]
fn a_recorder_that_is_killed_while_packets_are_missing_loses_no_more() {
    let losses = rounds(2, Some(Lossy::new(20)));
    for loss in &losses {
        assert!(loss.sound <= MOST, "{loss:?}");
    }
    // A picture of which a packet was lost each time that it was sent is waited for until the next key frame.
    let mut missing: Vec<_> = losses.iter().map(|loss| loss.missing).collect();
    missing.sort();
    assert!(missing[missing.len() - 2] <= MOST, "{losses:#?}");
}

/// For `make bench`, which reads the last line.
#[test]
#[ignore = "takes a minute; make bench runs it"]
fn what_a_killed_recorder_loses_at_random_instants() {
    let sorted = |losses: &[Loss], of: fn(&Loss) -> Duration| {
        let mut missing: Vec<_> = losses.iter().map(of).collect();
        missing.sort();
        missing
    };
    let missing = sorted(&rounds(4, None), |loss| loss.missing);
    let milliseconds = |duration: Duration| duration.as_millis();
    let lossy = rounds(4, Some(Lossy::new(20)));
    let (lossy, sound) = (
        sorted(&lossy, |loss| loss.missing),
        sorted(&lossy, |loss| loss.sound),
    );
    println!(
        "{}",
        json!({
            "kills": missing.len(),
            "p50_ms": milliseconds(missing[missing.len() / 2]),
            "max_ms": milliseconds(missing[missing.len() - 1]),
            "lossy_p50_ms": milliseconds(lossy[lossy.len() / 2]),
            "lossy_max_ms": milliseconds(lossy[lossy.len() - 1]),
            "lossy_sound_max_ms": milliseconds(sound[sound.len() - 1]),
        })
    );
}
