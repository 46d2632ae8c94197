//! The description of the HTTP API is one, and the API does what it describes, whatever it is asked.
//!
//! `EXAMPLES=2000` tries each operation as often, which takes some minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Stdio;

use support::{Client, Place, Tower, publish, schemathesis};
use tokio::process::Command;

/// What is looked for: answers that say that something failed here, and those that are not described.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
     response_schema_conformance,response_headers_conformance";

#[tokio::test]
async fn the_description_is_valid_and_true() {
    let Some(program) = schemathesis() else { return };
    let place = Place::new("openapi");
    let plan = |builder: exosphere::Builder| builder.route("/chat/{room}", publish);
    let [tower, ..] = Tower::three(&place, plan).await;
    let mut client = Client::new(tower.http, "/chat/a").await;
    client.send("hello").await;
    assert_eq!(client.text().await, "hello");

    let described = tower.get("/api/v1/openapi.json").await;
    let file = place.dir().join("openapi.json");
    std::fs::write(&file, described.to_string()).unwrap();
    let validator = program.with_file_name("openapi-spec-validator");
    run(Command::new(validator).arg(&file)).await;

    let examples = std::env::var("EXAMPLES").unwrap_or_else(|_| "20".to_owned());
    let mut tried = Command::new(program);
    tried
        .args(["run", &format!("http://{}/api/v1/openapi.json", tower.control)])
        .args(["--header", "Authorization: Bearer the token of admins"])
        .args(["--checks", CHECKS, "--max-examples", &examples, "--workers", "1"])
        .arg("--generation-deterministic")
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "10"])
        .args(["--suppress-health-check", "all"])
        // It would end the node that is asked.
        .args(["--exclude-path-regex", "/drain$"])
        .current_dir(place.dir());
    run(&mut tried).await;
}

async fn run(command: &mut Command) {
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
    println!("{said}");
}
