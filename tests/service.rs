//! attache as a service: what is installed, and what systemd is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::collections::HashMap;
use std::fs::File;
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A server that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminate(server: &Running) {
    let pid = server.0.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(sent.unwrap().success());
}

fn next(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).expect("systemd is told something");
    String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_attache"));
    command
        .args(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(&folder)
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null());
    let mut server = Running(command.spawn().unwrap());
    assert_eq!(next(&socket), "READY=1");
    let (mut alive, mut jobs) = (0, None);
    while alive < 3 || jobs.is_none() {
        let told = next(&socket);
        match told.strip_prefix("STATUS=") {
            Some(status) => jobs = Some(status.to_owned()),
            None => {
                assert_eq!(told, "WATCHDOG=1");
                alive += 1;
            }
        }
    }
    assert_eq!(jobs.as_deref(), Some("no jobs"));
    terminate(&server);
    while next(&socket) != "STOPPING=1" {}
    assert!(server.0.wait().unwrap().success());
}

/// A place of its own in which `/run/systemd/journal/socket` is a socket of the test.
const WITH_JOURNAL: &str = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                            ln -s \"$JOURNAL\" /run/systemd/journal/socket && exec \"$@\"";

/// Fields of an entry, of which none has several lines here.
fn entry(socket: &UnixDatagram) -> HashMap<String, String> {
    let mut bytes = [0; 65536];
    let length = socket.recv(&mut bytes).expect("the journal gets an entry");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let fields = text.lines().filter_map(|line| line.split_once('='));
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_journal_is_told_of_rooms_jobs_and_participants_in_fields() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let socket = UnixDatagram::bind(at("journal")).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let stderr = File::create(at("stderr")).unwrap();
    let of_stderr = stderr.metadata().unwrap();
    let pipelines = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let config = format!(
        "[admission]\nenabled = false\n[jobs]\npipelines = {pipelines:?}\nrecordings = {:?}\n\
         [[kiosk]]\nroom = \"lobby\"\ndescription = \"kiosk\"\n\
         parameters = {{ microphone = \"none\", speaker = \"none\", display = \"none\" }}\n",
        at("recordings")
    );
    std::fs::write(at("attache.toml"), config).unwrap();
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            WITH_JOURNAL,
            "sh",
            env!("CARGO_BIN_EXE_attache"),
        ])
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(at("attache.toml"))
        .env("JOURNAL", at("journal"))
        .env(
            "JOURNAL_STREAM",
            format!("{}:{}", of_stderr.st_dev(), of_stderr.st_ino()),
        )
        .env("XDG_STATE_HOME", at("state"))
        // Nothing is known of encoders: the worker finds it out, and says so.
        .env("XDG_CACHE_HOME", at("cache"))
        .stdout(Stdio::null())
        .stderr(stderr);
    let mut server = Running(command.spawn().unwrap());

    let (mut of_job, mut of_worker, mut of_participant, mut of_device) = (None, None, None, None);
    while of_job.is_none() || of_worker.is_none() || of_participant.is_none() || of_device.is_none()
    {
        let entry = entry(&socket);
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "attache");
        let message = entry["MESSAGE"].as_str();
        let code = entry["CODE_FILE"].as_str();
        if message.contains("worker started") {
            of_job = Some(entry);
        } else if code.ends_with("encoder/prover.rs") && entry.contains_key("ATTACHE_JOB") {
            of_worker = Some(entry);
        } else if code.ends_with("worker/diary.rs") && message.contains("camera") {
            of_device = Some(entry);
        } else if message.starts_with("joined") {
            of_participant = Some(entry);
        }
    }
    let (of_job, of_worker) = (of_job.unwrap(), of_worker.unwrap());
    let (of_participant, of_device) = (of_participant.unwrap(), of_device.unwrap());
    for entry in [&of_job, &of_worker, &of_participant, &of_device] {
        assert_eq!(entry["ATTACHE_ROOM"], "lobby", "{entry:?}");
        assert_eq!(entry["PRIORITY"], "6");
    }
    assert_eq!(of_job["ATTACHE_JOB"], of_worker["ATTACHE_JOB"]);
    assert_eq!(of_job["ATTACHE_JOB"], of_device["ATTACHE_JOB"]);
    assert!(of_worker.contains_key("ATTACHE_ENCODER"), "{of_worker:?}");
    let participant = &of_participant["ATTACHE_PARTICIPANT"];
    assert!(
        of_participant["MESSAGE"].contains(participant),
        "{of_participant:?}"
    );

    terminate(&server);
    assert!(server.0.wait().unwrap().success());
    let lines = std::fs::read_to_string(at("stderr")).unwrap();
    assert!(!lines.contains("INFO"), "it is said twice: {lines}");
}

#[test]
fn the_service_is_installed_with_a_unit_that_systemd_takes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let install = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-service.sh");
        let out = Command::new(script)
            .arg(env!("CARGO_BIN_EXE_attache"))
            .env("DESTDIR", root)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    };
    install();
    // Of what the unit calls, this alone is the system's.
    std::fs::create_dir_all(root.join("usr/bin")).unwrap();
    std::fs::copy("/bin/kill", root.join("usr/bin/kill")).unwrap();
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .arg(format!("--root={}", root.display()))
        .arg("attache.service")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("attache"))
        // The folder holds this service and nothing that it waits for.
        .filter(|line| !line.contains("not found"))
        .collect();
    assert_eq!(of_ours, Vec::<&str>::new(), "{said}");

    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(format!("--root={}", root.display()))
        .arg("attache.service")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&security.stdout).into_owned();
    let level = said.lines().find(|line| line.contains("exposure level"));
    let level = level.and_then(|line| line.split(':').nth(1)?.split_whitespace().next());
    let level: f64 = level.unwrap_or_else(|| panic!("{said}")).parse().unwrap();
    assert!(level <= 1.5, "{said}");

    // The configuration is one, its kiosk has its description, and a second installation leaves it alone.
    let config = root.join("etc/attache/attache.toml");
    let check = Command::new(root.join("usr/local/bin/attache"))
        .args(["pipelines", "check", "--config"])
        .arg(&config)
        .arg("--pipelines")
        .arg(root.join("usr/share/attache/pipelines"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    std::fs::write(&config, "# mine\n").unwrap();
    install();
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "# mine\n");
}

#[test]
fn without_a_built_program_the_installation_says_how_to_make_one() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-service.sh");
    let out = Command::new(script)
        .arg("no/such/program")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        !out.status.success() && said.contains("cargo build --release"),
        "{said}"
    );
}

#[test]
fn what_the_image_is_built_of_is_sent_to_the_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (ignore, recipe) = (read(".dockerignore"), read("Dockerfile"));
    let sent: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let copies = recipe.lines().filter_map(|line| line.strip_prefix("COPY "));
    let copied: Vec<&str> = copies
        .filter(|copy| !copy.starts_with("--from="))
        .flat_map(|copy| copy.rsplit_once(' ').unwrap().0.split(' '))
        .collect();
    assert!(!copied.is_empty(), "{recipe}");
    for path in copied {
        let top = path.split('/').next().unwrap();
        assert!(
            sent.contains(&top),
            "{path} is copied, and .dockerignore leaves it out"
        );
        assert!(folder.join(path).exists(), "there is no {path}");
    }
}
