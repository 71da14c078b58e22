//! The page, health and the HTTP API.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{API_TOKEN, HANGS, JOBS, JOINS, KEYS, Running, eventually};

async fn error_code(response: reqwest::Response) -> String {
    let body: Value = response.json().await.unwrap();
    assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    body["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_is_served_with_the_headers_that_keep_it_safe() {
    let running = Running::start("", JOINS).await;
    for path in ["/", "/r/lobby"] {
        let response = running.get(path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'self';"));
        assert!(header("permissions-policy").contains("camera=(self), microphone=(self)"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert!(response.text().await.unwrap().contains("/page/main.js"));
    }
    let script = running.get("/page/main.js").send().await.unwrap();
    assert_eq!(
        script.headers()["content-type"],
        "text/javascript; charset=utf-8"
    );
    for path in [
        "/page/none.js",
        "/page/../../Cargo.toml",
        "/page/..%2f..%2fCargo.toml",
        "/none",
    ] {
        assert_eq!(
            running.get(path).send().await.unwrap().status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let running = Running::start("", JOINS).await;
    let first = running.get("/page/main.js").send().await.unwrap();
    let tag = first.headers()["etag"].clone();
    let again = running
        .get("/page/main.js")
        .header("if-none-match", &tag)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (again.status(), again.headers()["etag"].clone()),
        (StatusCode::NOT_MODIFIED, tag)
    );
    let other = running
        .get("/page/main.js")
        .header("if-none-match", "\"other\"")
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_server_is_ready_when_its_kiosks_are_in_their_rooms() {
    let kiosk = format!("{JOBS}[[kiosk]]\nroom = \"lobby\"\n");
    let hanging = Running::start(&kiosk, HANGS).await;
    assert_eq!(hanging.json("/healthz").await["status"], "ok");
    let response = hanging.get("/readyz").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = response.json().await.unwrap();
    assert!(
        body["reasons"][0].as_str().unwrap().contains("kiosk"),
        "{body}"
    );
    hanging.server.stop().await;

    let joining = Running::start(&kiosk, JOINS).await;
    eventually("ready", || async {
        joining
            .get("/readyz")
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
            .then_some(())
    })
    .await;
    let jobs = joining.json("/api/v1/jobs").await;
    assert_eq!(jobs["jobs"][0]["spec"]["room"], "lobby");
    joining.server.stop().await;
}

#[tokio::test]
async fn a_server_whose_stun_server_is_silent_is_not_ready_and_says_so() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("stun:{}", silent.local_addr().unwrap());
    let running = Running::start(&format!("[ice]\nstun = [\"{url}\"]\n"), JOINS).await;
    let body = eventually("not ready", || async {
        let response = running.get("/readyz").send().await.unwrap();
        let is_unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        let body: Value = response.json().await.unwrap();
        is_unavailable.then_some(body)
    })
    .await;
    let expected = format!("no STUN server can be used: {url}: no answer within 5 s");
    assert_eq!(body["reasons"], json!([expected]));
    let ready = |check: &str| {
        let checks = body["checks"].as_array().unwrap();
        checks.iter().find(|one| one["check"] == check).unwrap()["ready"].clone()
    };
    assert_eq!(ready("servers"), false);
    for check in ["server", "machine", "kiosks", "disk"] {
        assert_eq!(ready(check), true, "{body:#}");
    }
    running.server.stop().await;
}

#[tokio::test]
async fn a_job_is_started_shown_and_stopped() {
    let running = Running::start(JOBS, JOINS).await;
    let response = running
        .request(Method::POST, "/api/v1/jobs")
        .json(&json!({"role": "recorder", "room": "lobby", "parameters": {"a": 1}}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let path = response.headers()["location"].to_str().unwrap().to_owned();
    let job: Value = response.json().await.unwrap();
    assert_eq!(
        path,
        format!("/api/v1/jobs/{}", job["id"].as_str().unwrap())
    );

    let state = |wanted: &'static str| {
        let (running, path) = (&running, &path);
        eventually(wanted, move || async move {
            (running.json(path).await["state"] == wanted).then_some(())
        })
    };
    state("joined").await;
    assert_eq!(
        running.json("/api/v1/jobs").await["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let stopped = running.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(stopped.status(), StatusCode::ACCEPTED);
    state("stopped").await;
    running.server.stop().await;
}

#[tokio::test]
async fn workers_get_a_private_socket_that_goes_with_the_server() {
    let running = Running::start(&format!("{JOBS}[[kiosk]]\nroom = \"lobby\"\n"), JOINS).await;
    let file = running.folder.path().join("assignment");
    let assignment: Value = eventually("the worker's assignment", || async {
        serde_json::from_str(&std::fs::read_to_string(&file).ok()?).ok()
    })
    .await;
    let socket = PathBuf::from(assignment["assignment"]["server"]["unix"].as_str().unwrap());
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    running.server.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn wrong_requests_get_typed_errors() {
    let running = Running::start(
        &format!("{JOBS}maximum = 1\n[[kiosk]]\nroom = \"lobby\"\n"),
        JOINS,
    )
    .await;
    let post = |body: String| {
        running
            .request(Method::POST, "/api/v1/jobs")
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let cases = [
        ("{", 400, "invalid_request"),
        (r#"{"role":"kiosk"}"#, 400, "invalid_request"),
        (r#"{"role":"kiosk","room":"a/b"}"#, 400, "invalid_request"),
        (
            r#"{"role":"kiosk","room":"a","description":"../kiosk"}"#,
            400,
            "invalid_request",
        ),
        (
            r#"{"role":"kiosk","room":"a","description":"none"}"#,
            400,
            "invalid_request",
        ),
        (
            r#"{"role":"kiosk","room":"a","command":"ls"}"#,
            400,
            "invalid_request",
        ),
        (r#"{"role":"kiosk","room":"a"}"#, 429, "too_many_jobs"),
    ];
    for (body, status, code) in cases {
        let response = post(body.to_owned()).await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        assert_eq!(error_code(response).await, code, "{body}");
    }
    let long = post(format!("{{\"role\":\"{}\"}}", "x".repeat(70_000)))
        .await
        .unwrap();
    assert_eq!(
        (long.status(), error_code(long).await.as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
    );
    let form = running
        .request(Method::POST, "/api/v1/jobs")
        .body("role=kiosk")
        .send()
        .await
        .unwrap();
    assert_eq!(error_code(form).await, "unsupported_media_type");

    for (method, path, code) in [
        (Method::GET, "/api/v1/jobs/none", "not_found"),
        (Method::DELETE, "/api/v1/jobs/none", "not_found"),
        (Method::GET, "/api/v1/jobs/a%2fb", "invalid_request"),
        (
            Method::DELETE,
            "/api/v1/rooms/lobby/participants/none",
            "not_found",
        ),
        (Method::GET, "/api/v2/jobs", "not_found"),
        (Method::PUT, "/api/v1/jobs", "method_not_allowed"),
    ] {
        let response = running.request(method.clone(), path).send().await.unwrap();
        assert_eq!(error_code(response).await, code, "{method} {path}");
    }
    running.server.stop().await;
}

#[tokio::test]
async fn a_recorder_is_refused_where_nobody_may_record() {
    let config = format!("[rooms]\nnot_recorded = [\"clinic-*\"]\n{JOBS}");
    let running = Running::start(&config, JOINS).await;
    let start = |role: &str| {
        let job = json!({"role": role, "room": "clinic-1"});
        running
            .request(Method::POST, "/api/v1/jobs")
            .json(&job)
            .send()
    };
    let refused = start("recorder").await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(error_code(refused).await, "recording_forbidden");
    assert_eq!(start("kiosk").await.unwrap().status(), StatusCode::CREATED);
    running.server.stop().await;
}

#[tokio::test]
async fn a_job_that_would_overload_the_machine_is_refused_until_another_one_ends() {
    let config = format!("[admission]\ncores = 0.3\nmemory_mb = 4000\n{JOBS}");
    let running = Running::start(&config, JOINS).await;
    let start = || {
        let job = json!({"role": "recorder", "room": "lobby"});
        running
            .request(Method::POST, "/api/v1/jobs")
            .json(&job)
            .send()
    };
    let first = start().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    let path = first.headers()["location"].to_str().unwrap().to_owned();
    let cost = first.json::<Value>().await.unwrap()["cost"].clone();
    start().await.unwrap().error_for_status().unwrap();

    let refused = start().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "30");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "no_room");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("0.30 cores and 4000 MB"), "{message}");

    let listed = running.json("/api/v1/jobs").await;
    let number = |value: &Value| value.as_f64().unwrap();
    let used = number(&listed["load"]["used"]["cores"]);
    assert!(
        (used - 2.0 * number(&cost["cores"])).abs() < 1e-9,
        "{listed}"
    );
    assert_eq!(listed["load"]["limit"]["cores"], 0.3);
    let left = number(&running.json("/readyz").await["room_left"]["cores"]);
    assert!((left - (0.3 - used)).abs() < 1e-9, "{left}");
    let metrics = running
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("attache_admission_cores{what=\"limit\"} 0.3"),
        "{metrics}"
    );

    running.request(Method::DELETE, &path).send().await.unwrap();
    eventually("room for another", || async {
        start().await.unwrap().status().is_success().then_some(())
    })
    .await;
    running.server.stop().await;
}

#[tokio::test]
async fn the_api_wants_its_token_on_every_path() {
    let running = Running::start(KEYS, JOINS).await;
    let paths = [
        (Method::GET, "/api/v1/jobs"),
        (Method::POST, "/api/v1/jobs"),
        (Method::GET, "/api/v1/jobs/x"),
        (Method::DELETE, "/api/v1/jobs/x"),
        (Method::GET, "/api/v1/rooms"),
        (Method::PATCH, "/api/v1/jobs/x/parameters"),
        (Method::POST, "/api/v1/jobs/x/pause"),
        (Method::POST, "/api/v1/jobs/x/resume"),
        (Method::POST, "/api/v1/jobs/x/split"),
        (Method::GET, "/api/v1/descriptions"),
        (Method::GET, "/metrics"),
        (Method::DELETE, "/api/v1/rooms/a/participants/b"),
    ];
    for (method, path) in paths {
        for token in [None, Some("0123456789abcdeX")] {
            let request = running.request(method.clone(), path);
            let request = if let Some(token) = token {
                request.bearer_auth(token)
            } else {
                request
            };
            let response = request.send().await.unwrap();
            assert_eq!(
                response.status(),
                StatusCode::UNAUTHORIZED,
                "{method} {path}"
            );
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(error_code(response).await, "unauthorized");
        }
        let allowed = running
            .request(method.clone(), path)
            .bearer_auth(API_TOKEN)
            .send()
            .await
            .unwrap();
        assert_ne!(
            allowed.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    for open in ["/healthz", "/readyz", "/api/v1/openapi.json", "/"] {
        assert_eq!(
            running.get(open).send().await.unwrap().status(),
            StatusCode::OK,
            "{open}"
        );
    }
}

#[tokio::test]
async fn the_openapi_document_names_every_path() {
    let running = Running::start("", JOINS).await;
    let document = running.json("/api/v1/openapi.json").await;
    for (path, methods) in [
        ("/api/v1/jobs", &["get", "post"][..]),
        ("/api/v1/jobs/{id}", &["get", "delete"]),
        ("/api/v1/jobs/{id}/parameters", &["patch"]),
        ("/api/v1/jobs/{id}/pause", &["post"]),
        ("/api/v1/jobs/{id}/resume", &["post"]),
        ("/api/v1/jobs/{id}/split", &["post"]),
        ("/api/v1/jobs/{id}/graph", &["get"]),
        ("/api/v1/rooms", &["get"]),
        ("/api/v1/descriptions", &["get"]),
        ("/api/v1/recordings", &["get"]),
        ("/api/v1/recordings/{name}", &["get", "delete"]),
        ("/api/v1/rooms/{room}/participants/{id}", &["delete"]),
        ("/healthz", &["get"]),
        ("/readyz", &["get"]),
    ] {
        for method in methods {
            assert!(
                document["paths"][path][method].is_object(),
                "{method} {path}"
            );
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text
        .split("\"$ref\":\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}
