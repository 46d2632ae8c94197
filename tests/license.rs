//! Licences: with real nodes, no more are active than were paid for, and the vendor's tool and the
//! chat as they are used.
//!
//! Whatever may happen with many nodes and partitions is tried on the rule itself, in `proto`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use exosphere::{
    Builder, Close, Grant, License, MemberState, Message, NotInForce, PublicKey, Session,
    SigningKey, StartError,
};
use futures_util::future::join_all;
use rustix::process::Signal;
use support::{Chat, Client, Mark, PATIENCE, Place, example, sees, serve, spawn, until, within};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn vendor() -> SigningKey {
    SigningKey::from_bytes([7; 32])
}

fn license(grant: &Grant) -> License {
    let token = vendor().issue(grant).unwrap().to_string();
    License::verify(token, &[vendor().public_key()]).unwrap()
}

fn license_for(nodes: u32) -> License {
    license(&Grant::new("Example Ltd", nodes).unwrap())
}

async fn echo(session: Session, message: Message) -> Result<(), Close> {
    session.send(message).await?;
    Ok(())
}

/// An application with the vendor's key in it: without a licence, one node runs.
fn product(place: &Place) -> Builder {
    place.node().route("/echo", echo).max_unlicensed_nodes(1, [vendor().public_key()])
}

#[expect(clippy::disallowed_methods, reason = "a licence is for a time")]
fn today() -> SystemTime {
    SystemTime::now()
}

/// Goal: with a licence for four, which only the first node is given, four nodes run; the fifth is
/// refused with an error that says so, and nobody notices.
#[tokio::test]
async fn as_many_nodes_run_as_the_licence_is_for_and_the_next_is_refused() {
    let place = Place::new("four");
    let first = product(&place).license(license_for(4)).start().await.unwrap();
    let mut client = Client::new(serve(&first), "/echo").await;
    let others = join_all((0..3).map(|_| product(&place).start())).await;
    let others: Vec<_> = others.into_iter().map(Result::unwrap).collect();
    for node in others.iter().chain([&first]) {
        sees(node, 4).await;
        assert_eq!(node.license().map(|license| license.max_nodes().get()), Some(4));
    }
    let refused = product(&place).start().await.unwrap_err();
    assert!(matches!(refused, StartError::MaxLicenses { max: 4, active: 4 }), "{refused:?}");
    let said = "Maximum Licenced Satellite 4: 4 nodes are active; \
                stop one of them, or ask for a licence for more";
    assert_eq!(refused.to_string(), said);
    for node in others.iter().chain([&first]) {
        sees(node, 4).await;
    }
    client.send("still here").await;
    assert_eq!(client.text().await, "still here");
    // Who leaves makes room at once.
    others[0].shutdown().await;
    assert!(others[0].ended().await.is_ok());
    let next = product(&place).start().await.unwrap();
    sees(&next, 4).await;
    // A better licence holds for all, on whichever node it is.
    let fifth = product(&place).license(license_for(5)).start().await.unwrap();
    sees(&fifth, 5).await;
    let refused = product(&place).start().await.unwrap_err();
    assert!(matches!(refused, StartError::MaxLicenses { max: 5, .. }), "{refused:?}");
}

#[tokio::test]
async fn of_two_that_start_at_once_for_the_last_place_exactly_one_does() {
    let place = Place::new("last");
    let _first = product(&place).license(license_for(2)).start().await.unwrap();
    let both = join_all((0..2).map(|_| product(&place).start())).await;
    let (started, refused): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
    assert_eq!(started.len(), 1, "{refused:?}");
    let refused = refused.into_iter().next().unwrap().unwrap_err();
    assert!(matches!(refused, StartError::MaxLicenses { max: 2, active: 2 }), "{refused:?}");
}

#[tokio::test]
async fn who_stands_by_starts_once_there_is_a_place() {
    let place = Place::new("standby");
    let first = product(&place).start().await.unwrap();
    let waiting = spawn(product(&place).standby(true).start());
    sees(&first, 2).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!waiting.is_finished());
    let states = |node: &exosphere::Node| {
        let roster = node.members().current();
        roster.members().iter().map(|it| (it.this, it.state())).collect::<Vec<_>>()
    };
    let mut seen = states(&first);
    seen.sort_by_key(|&(this, _)| this);
    assert_eq!(seen, [(false, MemberState::Joining), (true, MemberState::Active)]);
    first.shutdown().await;
    let second = within(PATIENCE, "there is a place", waiting).await.unwrap().unwrap();
    until("it is active", || states(&second) == [(true, MemberState::Active)]).await;
    let mut client = Client::new(serve(&second), "/echo").await;
    client.send("hello").await;
    assert_eq!(client.text().await, "hello");
}

#[tokio::test]
async fn who_trusts_no_vendor_is_under_no_limit_and_in_nobodys_way() {
    let place = Place::new("free");
    let plain = || place.node().route("/echo", echo).start();
    let _licensed = product(&place).license(license_for(1)).start().await.unwrap();
    let _free = [plain().await.unwrap(), plain().await.unwrap()];
    let refused = product(&place).start().await.unwrap_err();
    assert!(matches!(refused, StartError::MaxLicenses { max: 1, active: 1 }), "{refused:?}");
}

/// Goal: a licence that has ended, or has not begun, or is for another cluster keeps nobody from being the
/// first, and any other from starting, with an error that says why.
#[tokio::test]
async fn a_licence_that_does_not_count_lets_the_first_node_start_and_no_other() {
    let new = || Grant::new("Example Ltd", 4).unwrap();
    let ended = new().for_days(today() - DAY * 100, 10);
    let future = new().for_days(today() + DAY * 10, 10);
    let mut elsewhere = new();
    elsewhere.cluster = Some("elsewhere".to_owned());
    let refused = |grant: Grant| async move {
        let place = Place::new("ended");
        let license = license(&grant);
        let first = place.node().license(license.clone()).start().await.unwrap();
        let refused = place.node().license(license).start().await.unwrap_err();
        sees(&first, 1).await;
        match refused {
            StartError::LicenseNotInForce { active: 1, reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let (ended, future, elsewhere) =
        tokio::join!(refused(ended), refused(future), refused(elsewhere));
    assert!(matches!(ended, NotInForce::Expired { .. }), "{ended:?}");
    assert!(matches!(future, NotInForce::NotYet { .. }), "{future:?}");
    assert!(matches!(elsewhere, NotInForce::OtherCluster { .. }), "{elsewhere:?}");
}

/// What the vendor's tool does with these arguments.
fn tool(arguments: &[&str]) -> Output {
    Command::new(example("license")).args(arguments).output().unwrap()
}

/// A vendor's key and a licence for so many nodes, by the vendor's tool.
fn issue(place: &Place, nodes: &str) -> (PathBuf, PathBuf) {
    let (dir, token) = (place.dir().join("vendor"), place.dir().join("license"));
    let (dir, out) = (dir.to_str().unwrap(), token.to_str().unwrap());
    assert!(tool(&["keygen", "--out", dir]).status.success());
    let key = format!("{dir}/vendor.key");
    let issue = ["issue", "--key", &key, "--customer", "Example Ltd", "--nodes", nodes];
    assert!(tool(&[&issue[..], &["--days", "365", "--out", out]].concat()).status.success());
    (Path::new(dir).join("vendor.pub"), token)
}

#[test]
fn the_vendors_tool_makes_keys_and_licences_and_tells_what_is_wrong_with_one() {
    let place = Place::new("tool");
    let (public, token) = issue(&place, "27");
    let (public, file) = (public.to_str().unwrap(), token.to_str().unwrap());
    let told = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    for output in [tool(&["inspect", file]), tool(&["verify", "--public", public, file])] {
        assert!(output.status.success());
        let told = told(&output);
        assert!(told.contains("customer  Example Ltd\nnodes     27\n"), "{told}");
    }
    let vendor: PublicKey = fs::read_to_string(public).unwrap().parse().unwrap();
    let license = License::verify(fs::read(file).unwrap(), &[vendor]).unwrap();
    assert_eq!(license.max_nodes().get(), 27);

    let verify = |bytes: &[u8]| {
        fs::write(file, bytes).unwrap();
        let output = tool(&["verify", "--public", public, file]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = license.to_string();
    let said = verify(text.replacen('.', ".A", 1).as_bytes());
    assert!(said.contains("signed by none of the 1 keys of the vendor"), "{said}");
    assert!(verify(&vec![b'x'; 1 << 20]).contains("this has 1048576: is it another file?"));
    assert!(verify(&text.as_bytes()[..100]).contains("this is not a licence"));
    assert!(verify(b"\xff\xfe").contains("this is not a licence"));
    // Nothing is overwritten.
    let key = public.replace(".pub", ".key");
    let again = tool(&["keygen", "--out", Path::new(public).parent().unwrap().to_str().unwrap()]);
    assert!(!again.status.success());
    let issue = ["issue", "--key", &key, "--customer", "a", "--nodes", "1", "--out", file];
    assert!(!tool(&issue).status.success());
    let none = ["issue", "--key", &key, "--customer", "a", "--nodes", "0", "--out", "none"];
    assert!(String::from_utf8(tool(&none).stderr).unwrap().contains("at least one node"));
}

/// Goal: the chat that is one too many says so and exits with status 3, at its start, and later on.
///
/// Method: let the second start while the first stands still, so that it knows of nobody. Once the first
/// goes on, the second gives way, half a minute later, and its client goes elsewhere.
#[tokio::test]
async fn the_chat_that_is_one_too_many_says_so_and_exits_with_status_3() {
    let place = Place::new("chat");
    let (public, token) = issue(&place, "1");
    let licensed =
        ["--license-key", public.to_str().unwrap(), "--license", token.to_str().unwrap()];
    let secret = place.secret();
    let secret = ["--secret", secret.to_str().unwrap(), "--cluster", place.cluster()];
    let arguments = [&["--http", "127.0.0.1:0"], &secret[..], &licensed].concat();
    let first = Chat::start(&place, &arguments).await;
    let refused = |mut chat: Chat| async move {
        assert_eq!(chat.ended().await.code(), Some(3));
        let said = "chat: Maximum Licenced Satellite 1: 1 nodes are active; ";
        let is_said = || chat.since(Mark::default()).iter().any(|line| line.starts_with(said));
        until("it says why", is_said).await;
    };
    refused(Chat::spawn(&place, &arguments)).await;
    first.signal(Signal::STOP);
    let second = Chat::start(&place, &arguments).await;
    let client = Client::new(second.http(), "/chat/room").await;
    first.signal(Signal::CONT);
    let half_a_minute = Duration::from_secs(60);
    second.logs_within(half_a_minute, "this node gives way", Mark::default()).await;
    assert_eq!(client.closed().await, 1001);
    refused(second).await;
    let mut client = Client::new(first.http(), "/chat/room").await;
    client.send("still here").await;
    assert_eq!(client.text().await, "still here");
}
