//! An application of which a node is a part, served under the limits of the node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::{SocketAddr, TcpListener};

use axum::{
    Router,
    routing::{get as on_get, post as on_post},
};
use bytes::Bytes;
use exosphere::{Node, ServeError};
use support::{Client, PATIENCE, Place, get, post, publish, request, spawn, within};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinHandle};

/// A node with at most this many connections, and an application around it that has a page and
/// repeats what it is told.
async fn start(
    place: &Place,
    connections: usize,
) -> (Node, SocketAddr, JoinHandle<Result<(), ServeError>>) {
    let builder = place.node().route("/chat/{room}", publish).max_connections(connections);
    let node = builder.start().await.unwrap();
    let app = Router::new()
        .route("/page", on_get(async || "a page"))
        .route("/echo", on_post(async |body: Bytes| body))
        .fallback_service(node.service());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, served) = (listener.local_addr().unwrap(), node.clone());
    (node, http, spawn(async move { served.serve_app(listener, app).await }))
}

#[tokio::test]
async fn an_application_and_its_node_are_served_on_one_socket_until_the_node_ends() {
    let (node, http, served) = start(&Place::new("app"), 100).await;
    let mut client = Client::new(http, "/chat/room").await;
    let page = get(http, "/page").await;
    assert_eq!((page.status, page.body.as_str()), (200, "a page"));
    let long = "long ".repeat(100_000);
    assert_eq!(post(http, "/echo", long.as_bytes()).await.body, long);
    assert_eq!(post(http, "/chat/room", b"posted").await.status, 200);
    assert_eq!(client.text().await, "posted");
    assert_eq!(get(http, "/nothing").await.status, 404);
    node.shutdown().await;
    within(PATIENCE, "serving ends", served).await.unwrap().unwrap();
    assert!(TcpStream::connect(http).await.is_err());
}

/// Goal: what the application answers for itself has the limits that the node's answers have.
#[tokio::test]
async fn the_limits_of_the_node_hold_for_the_whole_application() {
    let (_node, http, _served) = start(&Place::new("app-limits"), 1).await;
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(request(http, "GET", "/page", &[&long], b"").await.status, 431);
    let foreign = ["Host: evil.example"];
    assert_eq!(request(http, "POST", "/chat/room", &foreign, b"x").await.status, 403, "rebound");
    let client = loop {
        // The places of the requests before may not be free yet.
        match Client::try_connect(http, "/chat/room").await {
            Ok(client) => break client,
            Err(_) => continue,
        }
    };
    let refused = get(http, "/page").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    client.cut();
    let again = async { while get(http, "/page").await.status != 200 {} };
    within(PATIENCE, "the place is free", again).await;
    let is_let_go = async {
        let mut silent = TcpStream::connect(http).await.unwrap();
        // Unless it is one too many: then it is told so.
        while silent.read_u8().await.is_ok() {
            silent = TcpStream::connect(http).await.unwrap();
        }
    };
    within(PATIENCE, "who says nothing is let go", is_let_go).await;
}
