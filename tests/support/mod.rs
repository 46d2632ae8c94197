//! What the tests with real processes and real sockets share.
//!
//! Every test has a [`Place`] of its own: a cluster name and a directory for the secret, so that no
//! other node of this machine ever joins, and no node of a test ever joins another's.

#![allow(dead_code, reason = "each test uses its part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chat;
mod client;
mod handlers;
#[cfg(target_os = "linux")]
mod hosts;
mod http;
mod sequence;
mod stock;
mod stream;
#[cfg(feature = "control")]
mod tower;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

#[cfg(target_os = "linux")]
#[allow(unused_imports, reason = "each test uses its part of this")]
pub(crate) use hosts::{Hosts, Switch};
#[allow(unused_imports, reason = "each test uses its part of this")]
pub(crate) use {
    chat::{Chat, Mark, Stamp, example},
    client::{Client, Publisher, RawSocket, Received, frame},
    handlers::{publish, shout, signed},
    http::{Answer, get, post, request},
    sequence::Sequence,
    stock::{chromium, has_program, has_stock_clients, kosoku, node_js, schemathesis},
    stream::{Event, Stream},
};

#[cfg(feature = "control")]
#[allow(unused_imports, reason = "each test uses its part of this")]
pub(crate) use tower::{Tower, encoded};

/// How long anything may take that takes no time worth speaking of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A cluster of a test's own.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    cluster: String,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        static PLACES: AtomicU32 = AtomicU32::new(0);
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        let cluster = format!("test-{name}-{}-{place}", std::process::id());
        Self { dir: tempfile::tempdir().unwrap(), cluster }
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where the secret of this place's cluster is kept.
    pub(crate) fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    /// The builder of a node of this place's cluster, in this process.
    pub(crate) fn node(&self) -> exosphere::Builder {
        exosphere::Node::builder(self.cluster()).secret_file(self.secret())
    }
}

/// Waits until no other test of this executable is running processes: what is measured should not
/// be what other tests do.
pub(crate) async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Serves a node of this process on a port of its own.
pub(crate) fn serve(node: &exosphere::Node) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let node = node.clone();
    spawn(async move { node.serve_listener(listener).await.unwrap() });
    addr
}

/// Waits until a node sees this many nodes, itself among them.
pub(crate) async fn sees(node: &exosphere::Node, count: usize) {
    let mut members = node.members();
    let seen = async {
        while members.current().members().len() != count {
            members.changed().await.expect("the node is not shut down");
        }
    };
    let what = format!("{node:?} sees {count} nodes; it sees {}", node.members().current());
    within(PATIENCE, &what, seen).await;
}

/// Waits for something that must happen.
pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    happens: impl Future<Output = T>,
) -> T {
    match tokio::time::timeout(patience, happens).await {
        Ok(it) => it,
        Err(_) => panic!("not within {patience:?}: {what}"),
    }
}

/// Waits until something is so that cannot be awaited.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    within(PATIENCE, what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Starts a task of the test.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// The time, for what a test measures.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// How often something is repeated: `ROUNDS`, or else this often.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("ROUNDS").map_or(default, |rounds| rounds.parse().unwrap())
}

/// A limit of time, which is doubled where CI is set: its machines are shared.
pub(crate) fn limit(limit: Duration) -> Duration {
    if is_ci() { limit * 2 } else { limit }
}

pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|ci| !ci.is_empty())
}
