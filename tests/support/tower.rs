//! A node with Tower Control, asked as an operator asks it.

use std::net::SocketAddr;

use exosphere::{Builder, Control, Node, Role};
use serde_json::Value;

use super::{Answer, Place, request, sees, serve, spawn};

/// A node of this process, which serves clients and operators.
pub(crate) struct Tower {
    pub(crate) node: Node,
    /// Where clients connect.
    pub(crate) http: SocketAddr,
    /// Where operators connect.
    pub(crate) control: SocketAddr,
}

/// What operators of each role show.
const TOKENS: [(Role, &str); 3] = [
    (Role::Read, "the token of readers"),
    (Role::Operate, "the token of operators"),
    (Role::Admin, "the token of admins"),
];

impl Tower {
    /// Starts a node.
    pub(crate) async fn start(builder: Builder) -> Self {
        let node = builder.start().await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let control = listener.local_addr().unwrap();
        let tokens = TOKENS.into_iter();
        let named = Control::new().allow_host("ops.example");
        let served = tokens
            .fold(named, |control, (role, token)| control.token(format!("{role:?}"), role, token));
        let serving = node.clone();
        spawn(async move { serving.serve_control_listener(listener, served).await.unwrap() });
        Self { http: serve(&node), control, node }
    }

    /// Starts three nodes of a cluster, each as `plan` says.
    pub(crate) async fn three(place: &Place, plan: impl Fn(Builder) -> Builder) -> [Self; 3] {
        let start = async || Self::start(plan(place.node())).await;
        let towers = [start().await, start().await, start().await];
        for tower in &towers {
            sees(&tower.node, 3).await;
        }
        towers
    }

    /// Asks for something as an admin.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Some(Role::Admin), "GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Has something done as an admin.
    pub(crate) async fn act(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.ask(Some(Role::Admin), method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
        if answer.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&answer.body).unwrap()
        }
    }

    /// Asks as whoever has `role`, or as a stranger.
    pub(crate) async fn ask(
        &self,
        role: Option<Role>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let token = TOKENS.iter().find(|(known, _)| Some(*known) == role);
        let shown = token.map(|(_, token)| format!("Authorization: Bearer {token}"));
        let mut headers: Vec<&str> = shown.iter().map(String::as_str).collect();
        if body.is_some() {
            headers.push("Content-Type: application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        request(self.control, method, path, &headers, body.as_bytes()).await
    }
}

/// A topic's name, or whatever else stands in a path.
pub(crate) fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
