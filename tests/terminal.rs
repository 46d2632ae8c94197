//! Tower Control in a terminal: the program as operators run it, asked of one node of a cluster, whose
//! clients are on the others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    net::SocketAddr,
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};

use exosphere::{Builder, Grant, License, SigningKey};
use serde_json::Value;
use support::{Chat, Client, Mark, PATIENCE, Place, Tower, encoded, publish, sees, until, within};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// The room that clients ask for.
const ROOM: &str = "/chat/lobby";

fn chat(builder: Builder) -> Builder {
    builder.route("/chat/{room}", publish)
}

/// The program, as it is asked of what serves at `addr`; a link has the token, as nodes print it.
fn exosphere(addr: SocketAddr, token: &str, args: &[&str]) -> Command {
    let link = format!("http://{addr}/?token={}", encoded(token));
    let mut command = Command::new(env!("CARGO_BIN_EXE_exosphere"));
    command.args(args).env("EXOSPHERE_URL", link).env_remove("EXOSPHERE_TOKEN");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What it prints to an admin.
async fn asked(tower: &Tower, args: &[&str]) -> String {
    let output = exosphere(tower.control, "the token of admins", args).output();
    let output = within(PATIENCE, "it answers", output).await.unwrap();
    let Output { status, stdout, stderr } = output;
    assert!(status.success(), "{args:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    assert!(stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The cells of the row that begins with `first`.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|row| row.first() == Some(&first));
    found.next().unwrap_or_else(|| panic!("there is no row {first:?} in\n{table}"))
}

/// A client of each node, which all nodes know.
async fn clients(towers: &[Tower; 3]) -> [Client; 3] {
    let client = async |on: usize| Client::new(towers[on].http, ROOM).await;
    let clients = [client(0).await, client(1).await, client(2).await];
    let members = |tower: &Tower| tower.node.topic(ROOM).unwrap().members().len();
    until("all nodes know the clients", || towers.iter().all(|it| members(it) == 3)).await;
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_the_cluster_and_speaks_to_clients_of_other_nodes() {
    let place = Place::new("terminal");
    let towers = Tower::three(&place, chat).await;
    let [_here, mut other, mut third] = clients(&towers).await;
    let ids = towers.each_ref().map(|tower| tower.node.id().to_string());

    let members = asked(&towers[0], &["members"]).await;
    assert_eq!(members.lines().count(), 4, "{members}");
    for id in &ids {
        assert_eq!(row(&members, id)[2..4], ["active", "1"], "{members}");
    }
    let topics = asked(&towers[0], &["topics"]).await;
    assert_eq!(row(&topics, ROOM)[1..3], ["3", "0"], "{topics}");
    let none = asked(&towers[0], &["topics", "/news"]).await;
    assert_eq!(none.lines().count(), 1, "{none}");
    let said = asked(&towers[1], &["publish", "/news", "who has this?"]).await;
    let id = said.trim_end().strip_prefix("published ").unwrap();
    let messages = asked(&towers[1], &["messages", "/news"]).await;
    assert_eq!(row(&messages, id)[1..4], ["0", "everyone", "13"], "{messages}");
    assert!(messages.contains("who has this?"), "{messages}");
    let all = asked(&towers[0], &["sessions", "--topic", ROOM]).await;
    assert_eq!(row(&all, &third.id)[1..], ["attached", "websocket", &ids[2], ROOM, "1", "0"]);
    let of_one = asked(&towers[0], &["sessions", "--node", &ids[1], "--state", "attached"]).await;
    assert_eq!((of_one.lines().count(), row(&of_one, &other.id)[3]), (2, &*ids[1]), "{of_one}");
    let first = asked(&towers[0], &["sessions", "--limit", "1"]).await;
    assert!(
        first.ends_with(
            "there are more: --limit shows up to 1000, and --help what else to ask for\n"
        )
    );

    let said = asked(&towers[0], &["publish", ROOM, "back in five minutes"]).await;
    assert_eq!(other.text().await, "back in five minutes");
    assert_eq!(third.text().await, "back in five minutes");
    let id = said.trim_end().strip_prefix("published ").unwrap();
    let session = third.id.clone();
    let why = tokio::select! {
        // Who reads on says that it has what it read.
        more = third.next() => panic!("there is no more than that: {more:?}"),
        why = explained(&towers[0], id, &session, "acknowledged") => why,
    };
    assert!(why.lines().any(|line| line.contains(" confirmed ")), "{why}");
    let said = asked(&towers[0], &["--json", "publish", ROOM, "psst", "--to", &third.id]).await;
    assert_eq!(third.text().await, "psst");
    let said: Value = serde_json::from_str(&said).unwrap();
    explained(&towers[0], said["id"].as_str().unwrap(), &other.id, "not_addressed").await;
    assert_eq!(row(&asked(&towers[0], &["topics"]).await, ROOM)[2], "2");
}

/// Asks why a session has got a message, or has not, until that is the reason.
async fn explained(tower: &Tower, message: &str, session: &str, verdict: &str) -> String {
    within(PATIENCE, verdict, async {
        loop {
            let why = asked(tower, &["explain", message, session]).await;
            if why.starts_with(&format!("{verdict}: ")) {
                return why;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_watched_until_nobody_looks() {
    let place = Place::new("top");
    let towers = Tower::three(&place, chat).await;
    let _clients = clients(&towers).await;
    let once = asked(&towers[0], &["top", "--once"]).await;
    let first = once.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("cluster {}   3 sessions   1 topics", place.cluster())),
        "{once}"
    );
    assert_eq!(row(&once, &towers[2].node.id().to_string())[2], "active");
    let json: Value = serde_json::from_str(&asked(&towers[0], &["top", "--json"]).await).unwrap();
    assert_eq!(json["nodes"].as_array().unwrap().len(), 3);

    let mut command = exosphere(towers[0].control, "the token of readers", &["top"]);
    let mut top = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let looks = async |lines: &mut tokio::io::Lines<_>, with: &str| {
        within(PATIENCE, with, async {
            while !lines.next_line().await.unwrap().unwrap().contains(with) {}
        })
        .await;
    };
    looks(&mut lines, "accepted 0 ").await;
    asked(&towers[1], &["publish", ROOM, "hello"]).await;
    looks(&mut lines, "accepted 1 ").await;
    drop(lines);
    let ended = within(PATIENCE, "it ends as nobody looks", top.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");
}

/// Goal: the clients of a node that is drained go elsewhere, one after the other, which is told; the
/// program ends once the node is gone, though it be the node that it asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_drained_and_its_clients_go_elsewhere() {
    let place = Place::new("drain");
    let towers = Tower::three(&place, chat).await;
    let leaving = towers[2].node.id().to_string();
    let (first, second) =
        (Client::new(towers[2].http, ROOM).await, Client::new(towers[2].http, ROOM).await);
    let drain = ["drain", &leaving, "--per-second", "1"];
    let mut command = exosphere(towers[0].control, "the token of admins", &drain);
    let drained = support::spawn(command.output());
    for client in [first, second] {
        let id = client.id.clone();
        assert_eq!(client.closed().await, 1001);
        let mut back = Client::resume(towers[1].http, ROOM, &id).await;
        assert_eq!(back.id, id, "it is the same session");
        asked(&towers[0], &["publish", ROOM, "here", "--to", &id]).await;
        assert_eq!(back.text().await, "here");
    }
    let drained = within(PATIENCE, "the node is gone", drained).await.unwrap().unwrap();
    let said = String::from_utf8(drained.stdout).unwrap();
    assert!(drained.status.success(), "{said}");
    assert!(said.contains("draining: 1 sessions left\n"), "{said}");
    assert!(said.ends_with(&format!("node {leaving} is gone\n")), "{said}");
    sees(&towers[0].node, 2).await;
    assert_eq!(asked(&towers[0], &["members"]).await.lines().count(), 3);

    let own = towers[0].node.id().to_string();
    let said = asked(&towers[0], &["drain", &own]).await;
    assert!(said.ends_with(&format!("node {own} is gone\n")), "{said}");
    sees(&towers[1].node, 1).await;
}

/// Goal: a process ends once its node was drained, though clients were connected to it, or it could not
/// be upgraded one node after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_whose_node_is_drained() {
    let place = Place::new("process");
    let mut leaving = Chat::join_with(&place, &["--control", "127.0.0.1:0"]).await;
    let url = leaving.control().await;
    let other = Chat::join(&place).await;
    leaving.sees(2, Mark::default()).await;
    let stream = support::spawn(support::request(
        leaving.http(),
        "GET",
        ROOM,
        &["Accept: text/event-stream"],
        b"",
    ));
    let client = Client::new(leaving.http(), ROOM).await;
    let program = async |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_exosphere"));
        program.args(args).env("EXOSPHERE_URL", &url).kill_on_drop(true);
        let output = within(PATIENCE, "it is done", program.output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let members = program(&["members"]).await;
    let line = members.lines().find(|line| line.contains(&leaving.node())).unwrap();
    program(&["drain", line.split_whitespace().next().unwrap()]).await;
    let ended = within(PATIENCE, "the process ends", leaving.ended()).await;
    assert!(ended.success(), "{ended}");
    assert_eq!(client.closed().await, 1001);
    drop((stream, other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_licence_that_holds_is_shown() {
    let place = Place::new("license");
    let vendor = SigningKey::from_bytes([7; 32]);
    // The 21st of November 2026.
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
    let grant = Grant::new("Example Ltd", 3).unwrap().for_days(from, 40_000);
    let token = vendor.issue(&grant).unwrap().to_string();
    let license = License::verify(token, &[vendor.public_key()]).unwrap();
    let keys = || [vendor.public_key()];
    let plain = Tower::start(place.node().max_unlicensed_nodes(1, keys())).await;
    let said = asked(&plain, &["license"]).await;
    assert!(said.starts_with("no licence holds"), "{said}");
    let licensed = place.node().max_unlicensed_nodes(1, keys()).license(license);
    let _second = within(PATIENCE, "it is licensed", Tower::start(licensed)).await;
    let said = asked(&plain, &["license"]).await;
    assert_eq!(row(&said, "customer")[1..], ["Example", "Ltd"]);
    assert_eq!(row(&said, "max_nodes")[1..], ["3"]);
    assert_eq!(row(&said, "expires")[1..], ["2136-05-28"]);
}

/// Goal: whatever is wrong with what an operator asks for, the program fails, and says what helps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_what_helps() {
    let place = Place::new("wrong");
    let tower = Tower::start(chat(place.node())).await;
    let id = tower.node.id().to_string();
    let admin = "the token of admins";
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let missing = format!("there is no node \"feed\"; there are: {id}");
    let cases: [(SocketAddr, &str, &[&str], &str); 9] = [
        (tower.control, "the token of nobody", &["members"], "does not know this token: --token"),
        (nobody, admin, &["top", "--once"], "onnection refused"),
        (nobody, admin, &["members"], "; --url, or EXOSPHERE_URL, is to be where a node serves"),
        (tower.http, admin, &["members"], "not as Tower Control: --url, or EXOSPHERE_URL"),
        (tower.control, admin, &["drain", "feed"], &missing),
        (tower.control, admin, &["sessions", "--limit", "0"], "400 Bad Request"),
        (tower.control, admin, &["explain", "m", "s"], "400 Bad Request"),
        (tower.control, "the token of readers", &["publish", ROOM, "m"], "role Operate"),
        (tower.control, admin, &["--ca", "/none", "members"], "/none: No such file"),
    ];
    for (addr, token, args, expected) in cases {
        let output = exosphere(addr, token, args).output();
        let output = within(PATIENCE, "it fails", output).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.starts_with("exosphere: ") && said.contains(expected), "{args:?}: {said}");
        assert_eq!((said.lines().count(), output.stdout.len()), (1, 0), "{args:?}: {said}");
    }
    let mut tokenless = exosphere(tower.control, "", &["members"]);
    tokenless.env("EXOSPHERE_URL", format!("http://{}", tower.control));
    let output = tokenless.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "exosphere: there is no token: give --token, or EXOSPHERE_TOKEN\n");
    let unknown = exosphere(tower.control, admin, &["dance"]).output().await.unwrap();
    assert_eq!(unknown.status.code(), Some(2), "it is no command");
}
