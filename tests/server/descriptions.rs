//! Changed descriptions under a running server, and other values for running jobs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{JOBS, Running, eventually, write};

/// Checks a description by looking for the word "wrong"; as a worker it notes each request and does what it is asked,
/// but for values called "impossible".
const ANSWERS: &str = r#"#!/bin/sh
folder=$(dirname "$0")
if [ "$1" = pipelines ]; then
    for file; do :; done
    grep -q wrong "$file" || exit 0
    echo "$file:1:1: wrong; write right"
    exit 1
fi
read -r line
echo '{"event":"state","state":"joined","participant":"worker"}'
while read -r line; do
    number=${line#*\"number\":}
    number=${number%%[,\}]*}
    case "$line" in
        *stop*) exit 0 ;;
        *impossible*) echo "{\"event\":\"answer\",\"number\":$number,\"answer\":\"refused\",\"message\":\"size: found impossible; write 1\"}" ;;
        *request*)
            echo "$line" >> "$folder/requests"
            echo "{\"event\":\"answer\",\"number\":$number,\"answer\":\"done\"}"
            ;;
    esac
done
"#;

async fn with_kiosk() -> (Running, String) {
    let running = Running::start(JOBS, ANSWERS).await;
    let spec = json!({"role": "kiosk", "room": "lobby"});
    let answer = running.request(Method::POST, "/api/v1/jobs").json(&spec);
    let job: Value = answer.send().await.unwrap().json().await.unwrap();
    let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
    eventually("the kiosk is in its room", async || {
        (running.json(&path).await["state"] == "joined").then_some(())
    })
    .await;
    (running, path)
}

/// What the server knows of the description `kiosk`, once it is like this.
async fn kiosk_once(running: &Running, what: &str, is_right: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let list = running.json("/api/v1/descriptions").await;
        let list = list["descriptions"].as_array().unwrap().clone();
        list.into_iter()
            .find(|view| view["name"] == "kiosk" && is_right(view))
    })
    .await
}

fn requests(running: &Running) -> String {
    std::fs::read_to_string(running.folder.path().join("requests")).unwrap_or_default()
}

#[tokio::test]
async fn jobs_move_to_a_changed_description_and_a_wrong_one_changes_nothing() {
    let (running, _) = with_kiosk().await;
    let file = running.folder.path().join("kiosk.toml");
    kiosk_once(&running, "checked at the start", |view| {
        view["valid"] == true
    })
    .await;

    write(&file, "wrong");
    let view = kiosk_once(&running, "found wrong", |view| view["valid"] == false).await;
    let problem = view["problems"][0].as_str().unwrap();
    assert!(
        problem.ends_with("kiosk.toml:1:1: wrong; write right"),
        "{problem}"
    );
    assert_eq!(
        (&view["refused"], requests(&running).as_str()),
        (&json!(1), "")
    );
    let metrics = running
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("attache_description_valid{description=\"kiosk\"} 0"),
        "{metrics}"
    );
    assert!(
        metrics.contains("attache_description_valid{description=\"recorder\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("attache_jobs{state=\"joined\"} 1"),
        "{metrics}"
    );

    write(&file, "right");
    let view = kiosk_once(&running, "moved", |view| view["reloads"] == 1).await;
    assert_eq!(
        (&view["valid"], &view["problems"]),
        (&json!(true), &json!([]))
    );
    assert!(
        requests(&running).contains("\"reload\""),
        "{}",
        requests(&running)
    );
    let metrics = running
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let moved = "attache_description_reloads_total{description=\"kiosk\",result=\"moved\"} 1";
    assert!(metrics.contains(moved), "{metrics}");
    running.server.stop().await;
}

#[tokio::test]
async fn a_job_takes_other_values_while_it_runs_and_keeps_them() {
    let (running, job) = with_kiosk().await;
    let path = format!("{job}/parameters");
    let patch = async |body: Value| {
        let request = running.request(Method::PATCH, &path).json(&body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, view) = patch(json!({"size": 2})).await;
    assert_eq!(status, StatusCode::OK, "{view}");
    assert_eq!(view["spec"]["parameters"], json!({"size": 2}));

    let (status, error) = patch(json!({"size": "impossible"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(error["error"]["message"], "size: found impossible; write 1");
    assert_eq!(
        running.json(&job).await["spec"]["parameters"],
        json!({"size": 2})
    );

    let answer = running.request(Method::DELETE, &job).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    eventually("the job has ended", async || {
        (running.json(&job).await["state"] == "stopped").then_some(())
    })
    .await;
    let (status, error) = patch(json!({"size": 3})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (StatusCode::CONFLICT, &json!("not_running"))
    );
    running.server.stop().await;
}
