//! Pages of other sites, and names that others made up for this machine.

use reqwest::{Method, StatusCode};

use super::{JOINS, Running};

#[tokio::test]
async fn pages_of_other_sites_do_not_reach_the_api() {
    let running = Running::start("", JOINS).await;
    let own = running.url("");
    for (origin, status) in [
        (own.as_str(), StatusCode::OK),
        ("http://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
    ] {
        let response = running
            .get("/api/v1/rooms")
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
    let post = running
        .request(Method::POST, "/api/v1/jobs")
        .header("origin", "http://evil.example");
    assert_eq!(post.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_name_that_was_pointed_at_loopback_does_not_reach_the_api() {
    let running = Running::start("", JOINS).await;
    for (host, status) in [
        ("localhost", StatusCode::OK),
        ("evil.example", StatusCode::FORBIDDEN),
    ] {
        let host = format!("{host}:{}", running.server.address().port());
        let origin = format!("http://{host}");
        let request = running
            .get("/api/v1/rooms")
            .header("host", host)
            .header("origin", origin);
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}
