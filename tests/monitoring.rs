//! The dashboard and the alert rules that come with attache: they are well-formed, fire when they should, and ask for
//! metrics that there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "support/daemon.rs"]
mod daemon;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use daemon::Daemon;
use serde_json::{Value, json};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("monitoring")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

fn promtool(arguments: [&str; 2], file: &Path) {
    let done = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool is there: scripts/install-dependencies.sh test");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn the_alert_rules_are_well_formed_and_fire_when_they_should() {
    promtool(["check", "rules"], &file("alerts.yml"));
    promtool(["test", "rules"], &file("alerts.test.yml"));
}

#[test]
fn every_alert_has_a_test() {
    let named = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let alerts = words.filter(|word| word.len() > 7 && word.starts_with("Attache"));
        alerts.map(str::to_owned).collect()
    };
    let (rules, tests) = (named(&text("alerts.yml")), named(&text("alerts.test.yml")));
    assert!(rules.len() >= 9, "{rules:?}");
    assert_eq!(rules, tests);
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("attache_"));
    ours.map(str::to_owned).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

/// What the dashboard's panels ask Prometheus for.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let asked = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    asked.collect()
}

/// The same, and what it asks for to fill its lists of choices.
fn queries(dashboard: &Value) -> Vec<String> {
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables = variables.map(|one| one["query"].as_str().unwrap().to_owned());
    expressions(dashboard)
        .into_iter()
        .chain(variables)
        .collect()
}

#[test]
fn the_dashboards_queries_are_well_formed() {
    let asked = expressions(&dashboard());
    // Prometheus checks an expression where it is a rule's; JSON is YAML.
    let rule =
        |(n, expr): (usize, &String)| json!({ "record": format!("panel_{n}"), "expr": expr });
    let rules: Vec<_> = asked.iter().enumerate().map(rule).collect();
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dashboard.yml");
    std::fs::write(&file, rules.to_string()).unwrap();
    promtool(["check", "rules"], &file);
}

#[tokio::test]
async fn the_dashboard_and_the_rules_ask_for_metrics_that_there_are() {
    let daemon = Daemon::start("");
    let shown = daemon.text("/metrics").await;
    let types = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<_> = types
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let queries = queries(&dashboard());
    assert!(queries.len() > 15, "{queries:?}");
    let rules = text("alerts.yml");
    let expressions = rules.lines().filter(|line| line.contains("expr:"));
    let asked: String = expressions.map(str::to_owned).chain(queries).collect();
    let missing: Vec<_> = metrics_in(&asked).difference(&there).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "there are {there:?}");
}
