//! Every stock client over every transport, with and without framing and the protocol: the table of
//! what each can do, which `tests/clients/table.mjs` makes and prints.
//!
//! `TABLE` names the cells and scenarios to run, as a regular expression; with `LONG=1` clients are
//! also idle for longer than any limit before they are cut off, which takes two minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Stdio;

use exosphere::{Close, CloseReason, Handler, Message, Node, Session};
use support::{Place, sees, serve};

/// A chat that tells, in a topic of its own, what else it hears of its clients.
struct Room;

impl Room {
    async fn tell(session: &Session, what: &str) -> Result<(), Close> {
        let room = session.param("room").expect("the route has it");
        session.publish(&format!("/told/{room}"), what).await?;
        Ok(())
    }
}

impl Handler for Room {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        session.join(session.path().as_str()).await?;
        Self::tell(session, &format!("ready {}", session.id())).await
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        session.publish(session.path().as_str(), message).await?;
        Ok(())
    }

    async fn heartbeat(&self, session: &Session) {
        Self::tell(session, "heartbeat").await.unwrap();
    }

    async fn disconnect(&self, session: &Session, reason: CloseReason) {
        let what = format!("disconnect {} {reason:?}", session.id());
        Self::tell(session, &what).await.unwrap();
    }
}

async fn listen(_: Session, _: Message) -> Result<(), Close> {
    Ok(())
}

async fn start(place: &Place) -> Node {
    let node = place.node().route("/chat/{room}", Room).route("/told/{room}", listen);
    node.jsonp(true).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stock_client_works_over_every_transport_that_it_has() {
    if !support::has_stock_clients() {
        return;
    }
    let place = Place::new("table");
    let nodes = [start(&place).await, start(&place).await];
    for node in &nodes {
        sees(node, 2).await;
    }
    let urls = nodes.each_ref().map(|node| format!("http://{}", serve(node)));
    let mut driver = support::node_js(&["table.mjs", &urls[0], &urls[1]]);
    // What it prints is the table, which is worth seeing while it grows.
    let status = driver.stdin(Stdio::null()).status().await.unwrap();
    assert!(status.success(), "the table has a cell that fails");
}
