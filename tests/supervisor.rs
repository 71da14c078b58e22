//! The supervisor with workers made of shell: those that work, crash, hang, ignore everything and flood.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use attache::auth::{Auth, Secret};
use attache::job::{JobSpec, JobState, PeerState, Role};
use attache::signalling::ids::JobId;
use attache::supervisor::{JobView, RestartPolicy, Settings, StartError, Supervisor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

/// For anything that must happen; far above what it takes.
const SOON: Duration = Duration::from_secs(30);

fn settings(script: &str) -> Settings {
    let nowhere = PathBuf::from("/nonexistent");
    let mut settings = Settings::new(
        "/bin/sh".into(),
        nowhere.join("socket"),
        nowhere.clone(),
        nowhere,
        Auth::default(),
    );
    settings.arguments = vec!["-c".to_owned(), script.to_owned()];
    settings.restart = RestartPolicy {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(100),
        ran_well: Duration::from_secs(60),
    };
    settings
}

fn spec() -> JobSpec {
    JobSpec {
        memory_limit_mb: None,
        of: None,
        remote: None,
        role: Role::Kiosk,
        room: "lobby".parse().unwrap(),
        description: None,
        parameters: Default::default(),
        name: None,
    }
}

fn start(script: &str) -> (Supervisor, JobId) {
    let supervisor = Supervisor::new(settings(script));
    let id = supervisor.start(spec()).unwrap().id;
    (supervisor, id)
}

async fn until(supervisor: &Supervisor, id: &JobId, what: impl FnMut(&JobView) -> bool) -> JobView {
    let mut view = supervisor.watch(id).expect("the job should be known");
    let found = timeout(SOON, view.wait_for(what)).await;
    found.map(|view| view.unwrap().clone()).unwrap_or_else(|_| {
        panic!("it did not happen; the job is {:?}", supervisor.get(id));
    })
}

async fn until_state(supervisor: &Supervisor, id: &JobId, state: JobState) -> JobView {
    until(supervisor, id, |view| view.state == state).await
}

fn runs(pid: u32) -> bool {
    // A zombie has ended; whoever should wait for it is another matter.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn until_gone(pid: u32) {
    let gone = async {
        while runs(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone)
        .await
        .unwrap_or_else(|_| panic!("process {pid} still runs"));
}

#[tokio::test]
async fn a_job_is_started_reports_and_ends_when_asked() {
    let (supervisor, id) = start(
        r#"
        read -r start
        case "$start" in
            *'"command":"start"'*'"room":"lobby"'*'"unix":"/nonexistent/socket"'*) ;;
            *) exit 1 ;;
        esac
        echo '{"event":"state","state":"joined","participant":"me"}'
        echo '{"event":"notice","message":"arenas '$MALLOC_ARENA_MAX'"}'
        echo '{"event":"peer","participant":"p1","generation":1,"state":"connected"}'
        echo '{"event":"peer","participant":"p2","generation":1,"state":"connecting"}'
        echo '{"event":"peer","participant":"p2","generation":1,"state":"closed"}'
        echo '{"event":"receiving","participant":"p1","audio_frames":5,"video_frames":7}'
        echo '{"event":"recording","participant":"p1","file":"a.mkv","bytes":10,"duration_ms":20,"finished":false}'
        echo '{"event":"recording","participant":"p1","file":"a.mkv","bytes":30,"duration_ms":40,"finished":true}'
        read -r stop
        [ "$stop" = '{"command":"stop"}' ] || exit 2
        read -r more && exit 3
        echo '{"event":"notice","message":"bye"}'
        "#,
    );
    let view = until(&supervisor, &id, |view| {
        !view.recordings.is_empty() && view.recordings[0].finished
    })
    .await;
    assert_eq!(view.state, JobState::Joined);
    assert_eq!(view.participant.unwrap().as_str(), "me");
    assert_eq!(view.notices, ["arenas 2"]);
    assert_eq!(view.peers.len(), 1);
    assert_eq!(
        (view.peers[0].state, view.peers[0].video_frames),
        (PeerState::Connected, 7)
    );
    assert_eq!(view.recordings[0].bytes, 30);
    let pid = view.pid.unwrap();

    assert!(supervisor.stop(&id).is_some());
    let view = until_state(&supervisor, &id, JobState::Stopped).await;
    assert_eq!((view.last_error, view.restarts, view.pid), (None, 0, None));
    assert_eq!(view.notices, ["arenas 2", "bye"]);
    assert!(view.peers.is_empty() && view.participant.is_none());
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_crashed_worker_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let (supervisor, id) = start(&format!(
        r#"
        cd {}
        read -r start
        echo run >> runs
        [ "$(wc -l < runs)" -lt 3 ] && kill -SEGV $$
        echo '{{"event":"state","state":"joined","participant":"me"}}'
        read -r stop
        "#,
        folder.path().display()
    ));
    let view = until_state(&supervisor, &id, JobState::Joined).await;
    assert_eq!(view.restarts, 2);
    assert_eq!(
        view.last_error.as_deref(),
        Some("the worker was ended by signal 11 (SIGSEGV)")
    );
    supervisor.stop_all(SOON).await;
    assert_eq!(supervisor.get(&id).unwrap().state, JobState::Stopped);
}

#[tokio::test]
async fn a_job_that_waits_for_its_restart_ends_at_once() {
    let mut settings = settings("exit 7");
    settings.restart = RestartPolicy {
        first: SOON * 100,
        longest: SOON * 100,
        ran_well: SOON,
    };
    let supervisor = Supervisor::new(settings);
    let id = supervisor.start(spec()).unwrap().id;
    let view = until_state(&supervisor, &id, JobState::Restarting).await;
    assert_eq!(
        view.last_error.as_deref(),
        Some("the worker ended with exit code 7")
    );
    supervisor.stop(&id);
    until_state(&supervisor, &id, JobState::Stopped).await;
}

#[tokio::test]
async fn a_worker_whose_heart_stops_is_killed_and_started_again_and_the_other_is_left_alone() {
    let mut settings = settings(
        r#"
        read -r start
        echo '{"event":"beat"}'
        echo '{"event":"state","state":"joined"}'
        case "$start" in *'"room":"other"'*) ;; *) kill -STOP $$ ;; esac
        while :; do echo '{"event":"beat"}'; sleep 0.1; done
        "#,
    );
    settings.beat_limit = Duration::from_secs(5);
    let supervisor = Supervisor::new(settings);
    let hanging = supervisor.start(spec()).unwrap().id;
    let elsewhere = JobSpec {
        memory_limit_mb: None,
        room: "other".parse().unwrap(),
        ..spec()
    };
    let other = supervisor.start(elsewhere).unwrap().id;
    let before = until_state(&supervisor, &other, JobState::Joined).await;
    let view = until(&supervisor, &hanging, |view| view.restarts == 2).await;
    let why = view.last_error.unwrap();
    assert!(why.contains("its heart has not beaten for"), "{why}");
    let said = view.notices.last().unwrap();
    assert!(said.contains("crashed 2 times in a row"), "{said}");
    let after = supervisor.get(&other).unwrap();
    assert_eq!((after.pid, after.restarts), (before.pid, 0));
    supervisor.stop_all(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_worker_that_says_it_stalls_is_killed_with_its_reason() {
    let (supervisor, id) = start(
        r#"
        echo '{"event":"beat","stalled":"no frame was captured for 21 s"}'
        exec sleep 1000
        "#,
    );
    let view = until(&supervisor, &id, |view| view.restarts > 0).await;
    let why = view.last_error.unwrap();
    assert!(
        why.starts_with("the worker hangs: no frame was captured for 21 s"),
        "{why}"
    );
    supervisor.stop_all(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_killed_with_its_reason() {
    // Doubles what it keeps until that is 128 MB.
    let mut settings =
        settings("x=12345678; for i in $(seq 24); do x=$x$x; done; while :; do sleep 1; done");
    settings.memory_limit_mb = Some(100);
    let supervisor = Supervisor::new(settings);
    let id = supervisor.start(spec()).unwrap().id;
    let view = until(&supervisor, &id, |view| view.restarts > 0).await;
    let why = view.last_error.unwrap();
    assert!(why.contains("MB of memory"), "{why}");
    assert!(why.contains("of [jobs], allows 100"), "{why}");
    supervisor.stop_all(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_job_has_a_memory_limit_of_its_own() {
    let mut settings =
        settings("x=12345678; for i in $(seq 24); do x=$x$x; done; while :; do sleep 1; done");
    settings.memory_limit_mb = Some(100);
    let supervisor = Supervisor::new(settings);
    let (generous, strict) = (
        JobSpec {
            memory_limit_mb: Some(100_000),
            ..spec()
        },
        JobSpec {
            memory_limit_mb: Some(70),
            ..spec()
        },
    );
    let generous = supervisor.start(generous).unwrap().id;
    let strict = supervisor.start(strict).unwrap().id;
    let view = until(&supervisor, &strict, |view| view.restarts > 0).await;
    let why = view.last_error.unwrap();
    assert!(why.contains("allows 70"), "{why}");
    assert_eq!(supervisor.get(&generous).unwrap().restarts, 0);
    supervisor.stop_all(Duration::from_millis(500)).await;
}

#[tokio::test]
async fn a_fatal_error_fails_the_job_for_good() {
    let (supervisor, id) = start(
        r#"
        echo '{"event":"error","message":"there is no camera","fatal":true}'
        exit 1
        "#,
    );
    let view = until_state(&supervisor, &id, JobState::Failed).await;
    assert_eq!(
        (view.last_error.as_deref(), view.restarts),
        (Some("there is no camera"), 0)
    );
}

#[tokio::test]
async fn a_worker_that_stays_after_its_fatal_error_is_ended() {
    let (supervisor, id) = start(
        r#"
        echo '{"event":"error","message":"there is no camera","fatal":true}'
        exec sleep 1000
        "#,
    );
    let view = until(&supervisor, &id, |view| view.last_error.is_some()).await;
    until_state(&supervisor, &id, JobState::Failed).await;
    assert!(!runs(view.pid.unwrap()));
}

#[tokio::test]
async fn a_worker_that_ends_well_by_itself_has_stopped() {
    let (supervisor, id) = start("exit 0");
    let view = until_state(&supervisor, &id, JobState::Stopped).await;
    assert_eq!((view.last_error, view.restarts), (None, 0));
}

#[tokio::test]
async fn a_worker_that_ignores_stop_is_terminated() {
    let mut settings = settings(r#"echo '{"event":"state","state":"joined"}'; exec sleep 1000"#);
    settings.stop_limit = Duration::from_millis(300);
    let supervisor = Supervisor::new(settings);
    let id = supervisor.start(spec()).unwrap().id;
    until_state(&supervisor, &id, JobState::Joined).await;
    supervisor.stop(&id);
    let view = until_state(&supervisor, &id, JobState::Stopped).await;
    assert_eq!(
        view.last_error.as_deref(),
        Some("it did not end in time and was terminated")
    );
}

#[tokio::test]
async fn a_worker_that_ignores_everything_is_killed_with_its_children() {
    let (supervisor, id) = start(
        r#"
        trap '' TERM
        sleep 1000 &
        echo '{"event":"notice","message":"'$!'"}'
        echo '{"event":"state","state":"joined"}'
        while :; do wait; done
        "#,
    );
    let view = until_state(&supervisor, &id, JobState::Joined).await;
    let grandchild: u32 = view.notices[0].parse().unwrap();
    assert!(runs(grandchild));
    timeout(SOON, supervisor.stop_all(Duration::from_millis(300)))
        .await
        .expect("the limit should hold");
    let view = supervisor.get(&id).unwrap();
    assert_eq!(view.state, JobState::Stopped);
    assert!(view.last_error.unwrap().contains("was killed"));
    until_gone(grandchild).await;
}

#[tokio::test]
async fn a_worker_that_floods_is_held_back_and_can_be_stopped() {
    for flood in [
        r#"yes '{"event":"notice","message":"again"}'"#,
        "yes garbage",
        "cat /dev/zero",
    ] {
        let (supervisor, id) = start(&format!(
            r#"echo '{{"event":"notice","message":"now"}}'; trap 'kill 0' TERM; {flood}"#
        ));
        until(&supervisor, &id, |view| !view.notices.is_empty()).await;
        let (quiet, other) =
            start(r#"echo '{"event":"state","state":"joined"}'; read -r start; read -r stop"#);
        until_state(&quiet, &other, JobState::Joined).await;
        timeout(SOON, supervisor.stop_all(Duration::from_millis(300)))
            .await
            .expect("the limit should hold");
        let view = supervisor.get(&id).unwrap();
        assert_eq!(view.state, JobState::Stopped);
        assert!(view.notices.len() <= 100);
        quiet.stop_all(SOON).await;
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_job() {
    let mut settings = settings("");
    settings.executable = "/nonexistent/attache".into();
    let supervisor = Supervisor::new(settings);
    let id = supervisor.start(spec()).unwrap().id;
    let view = until_state(&supervisor, &id, JobState::Failed).await;
    assert!(
        view.last_error
            .unwrap()
            .starts_with("cannot start the worker /nonexistent/attache: ")
    );
}

#[tokio::test]
async fn the_number_of_jobs_is_limited_and_ended_ones_are_forgotten_in_their_order() {
    let mut settings = settings("read -r start; read -r stop");
    settings.jobs_at_most = 2;
    settings.ended_jobs_kept = 1;
    let supervisor = Supervisor::new(settings);
    let first = supervisor.start(spec()).unwrap().id;
    let second = supervisor.start(spec()).unwrap().id;
    assert_eq!(
        supervisor.start(spec()),
        Err(StartError::TooManyJobs { limit: 2 })
    );

    for id in [&first, &second] {
        supervisor.stop(id);
        until_state(&supervisor, id, JobState::Stopped).await;
    }
    let third = supervisor.start(spec()).unwrap().id;
    let listed: Vec<_> = supervisor.list().into_iter().map(|view| view.id).collect();
    assert_eq!(listed, [second, third]);
    assert_eq!(supervisor.get(&first), None);

    supervisor.stop_all(SOON).await;
    assert_eq!(supervisor.start(spec()), Err(StartError::Stopping));
}

#[tokio::test]
async fn workers_of_a_server_with_a_room_key_get_a_token_on_their_standard_input() {
    let mut settings = settings(
        r#"read -r start; printf '%s' "$start" | grep -q '"token":"ey' && echo '{"event":"state","state":"joined"}'; read -r stop"#,
    );
    settings.auth = Auth::new(
        None,
        Some(Secret::new("0123456789abcdef0123456789abcdef")),
        Vec::new(),
    );
    let supervisor = Supervisor::new(settings);
    let id = supervisor.start(spec()).unwrap().id;
    until_state(&supervisor, &id, JobState::Joined).await;
    supervisor.stop_all(SOON).await;
}

/// Not a test of its own: the server that the next test kills.
#[tokio::test]
#[ignore = "a part of the next test"]
async fn a_server_that_will_be_killed() {
    let (supervisor, id) =
        start(r#"echo '{"event":"state","state":"joined"}'; exec cat > /dev/null"#);
    let view = until_state(&supervisor, &id, JobState::Joined).await;
    println!("\nworker {}", view.pid.unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn no_worker_outlives_a_server_that_is_killed() {
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "a_server_that_will_be_killed",
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let worker: u32 = timeout(SOON, async {
        loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the server should name its worker");
            if let Some(pid) = line.strip_prefix("worker ") {
                return pid.parse().unwrap();
            }
        }
    })
    .await
    .unwrap();
    assert!(runs(worker));
    kill(
        Pid::from_raw(server.id().unwrap().try_into().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    until_gone(worker).await;
}
