//! Many clients, who are connected and read nothing.

use std::collections::VecDeque;

use exosphere::{Body, Node};
use hyper::service::Service;

use super::reader::asks_for;

/// In how many topics they are.
const TOPICS: usize = 1_000;

/// The clients of one node, those who came first in front.
pub(crate) struct Crowd {
    node: Node,
    clients: VecDeque<Body>,
    came: usize,
}

impl Crowd {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, clients: VecDeque::new(), came: 0 }
    }

    /// So many more come.
    pub(crate) async fn come(&mut self, clients: usize) {
        for _ in 0..clients {
            let request = asks_for(&format!("/crowd-{}", self.came % TOPICS));
            let request = request.body(String::new()).expect("a request");
            let response = self.node.service().call(request).await.expect("it does not fail");
            assert_eq!(response.status(), 200);
            self.clients.push_back(response.into_body());
            self.came += 1;
        }
    }

    /// One in twenty goes and another comes, and something is published to as many topics.
    pub(crate) async fn change(&mut self) {
        let some = self.clients.len() / 20;
        self.clients.drain(..some);
        self.come(some).await;
        for topic in 0..some {
            let topic = self.node.topic(&format!("/crowd-{topic}")).expect("a topic's name");
            topic.publish("news").await.expect("it is accepted");
        }
    }
}
