//! attache as a service: what is installed, and what systemd is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

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
    let pid = server.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    while next(&socket) != "STOPPING=1" {}
    assert!(server.0.wait().unwrap().success());
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
