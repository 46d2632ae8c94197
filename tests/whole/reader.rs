//! A client that reads an event stream, and comes back to another machine when its own is gone.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use exosphere::{Body, SessionId};
use http::{Request, request};
use http_body_util::BodyExt;
use hyper::service::Service;

use super::{
    cluster::{Cluster, Machine, ROOM},
    spawn,
};

/// How long a client waits before it asks the next machine.
const PAUSE: Duration = Duration::from_millis(100);

/// A request for the stream of a topic.
pub(crate) fn asks_for(path: &str) -> request::Builder {
    Request::get(path).header("Host", "localhost").header("Accept", "text/event-stream")
}

/// A client that reads the topic of all.
pub(crate) struct Reader(Mutex<Seen>);

/// What a client has seen.
#[derive(Default)]
struct Seen {
    session: Option<SessionId>,
    /// The numbers of what it got from each origin.
    heard: BTreeMap<usize, Vec<u64>>,
    position: Option<String>,
    comebacks: usize,
    wrong: Option<String>,
}

impl Reader {
    /// Connects to `machine`.
    pub(crate) fn start(cluster: &Arc<Cluster>, machine: usize) -> Arc<Self> {
        let reader = Arc::new(Self(Mutex::default()));
        let (reading, cluster) = (Arc::clone(&reader), Arc::clone(cluster));
        spawn(async move {
            for at in machine.. {
                let running = cluster.running();
                reading.visit(&cluster, running[at % running.len()]).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
        reader
    }

    /// Its session, once it has one.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.seen().session
    }

    /// The numbers of what it got from an origin, in the order they came.
    pub(crate) fn heard(&self, origin: usize) -> Vec<u64> {
        self.seen().heard.get(&origin).cloned().unwrap_or_default()
    }

    /// How often it came back.
    pub(crate) fn comebacks(&self) -> usize {
        self.seen().comebacks
    }

    /// What must not have happened to it.
    pub(crate) fn wrong(&self) -> Option<String> {
        self.seen().wrong.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nobody panics who holds it")
    }

    /// Reads from a machine for as long as it can.
    async fn visit(&self, cluster: &Cluster, machine: usize) {
        let (session, position) = {
            let seen = self.seen();
            (seen.session, seen.position.clone())
        };
        // One that was started while it was cut off knows of no session, and what is promised there
        // is a new one.
        if session.is_some_and(|session| !cluster.knows(machine, session)) {
            return;
        }
        let Some(Machine { node, dead, .. }) = cluster.machine(machine) else { return };
        let mut request = asks_for(ROOM);
        if let Some(session) = session {
            request = request.header("X-Atmosphere-tracking-id", session.to_string());
        }
        if let Some(position) = position {
            request = request.header("Last-Event-ID", position);
        }
        let request = request.body(String::new()).expect("a request");
        let reading = async {
            let response = node.service().call(request).await.expect("it does not fail");
            assert!([200, 503].contains(&response.status().as_u16()), "{response:?}");
            if response.status() == 200 {
                let id = &response.headers()["x-atmosphere-tracking-id"];
                let id = id.to_str().expect("an id is text").parse().expect("an id");
                self.handle_attached(id);
                self.read(response.into_body()).await;
            }
        };
        tokio::select! {
            biased;
            () = dead.cancelled() => {}
            () = reading => {}
        }
    }

    fn handle_attached(&self, session: SessionId) {
        let mut seen = self.seen();
        match seen.session.replace(session) {
            None => {}
            Some(before) if before == session => seen.comebacks += 1,
            Some(before) => seen.wrong = Some(format!("{before} was replaced by {session}")),
        }
    }

    async fn read(&self, body: Body) {
        let mut body = pin!(body);
        let mut text = String::new();
        while let Some(Ok(frame)) = body.frame().await {
            let piece = frame.into_data().expect("there are no trailers");
            text += str::from_utf8(&piece).expect("events are text");
            while let Some((event, rest)) = text.split_once("\r\n\r\n") {
                self.handle_event(event);
                text = rest.to_owned();
            }
        }
    }

    fn handle_event(&self, event: &str) {
        let field = |name| {
            let value = event.split("\r\n").find_map(|line| line.strip_prefix(name))?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        };
        let mut seen = self.seen();
        if let Some(position) = field("id:") {
            seen.position = Some(position.to_owned());
        }
        let Some((origin, number)) = field("data:").and_then(|data| data.split_once(' ')) else {
            return;
        };
        let (origin, number) =
            (origin.parse().expect("an origin"), number.parse().expect("a number"));
        let is_back = seen.comebacks > 0;
        let heard = seen.heard.entry(origin).or_default();
        if heard.last().is_none_or(|last| *last < number) {
            heard.push(number);
        } else if !heard.contains(&number) {
            seen.wrong = Some(format!("{number} of {origin} came late, after {heard:?}"));
        } else if !is_back {
            seen.wrong = Some(format!("{number} of {origin} came twice"));
        }
    }
}
