//! Who pushes, and who gets what is pushed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use exosphere::client::{Client, ConnectError, Event};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::notes::{Name, Notes, What};

/// How many pushes of one publisher may be unacknowledged.
const AHEAD: usize = 512;

/// How long a bare WebSocket waits before it tries another node.
const RETRY: Duration = Duration::from_millis(100);

/// How long a bare WebSocket waits for anything: the chat is never silent for that long.
const SILENT: Duration = Duration::from_secs(10);

/// Pushes numbers, and notes which are acknowledged.
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    pushing: JoinHandle<Client>,
    hearing: JoinHandle<()>,
}

impl Publisher {
    pub(crate) async fn start(
        publisher: usize,
        urls: Vec<String>,
        every: Duration,
        notes: &Notes,
    ) -> Result<Self, ConnectError> {
        let client = Client::builder(urls).push_only().connect().await?;
        let stop = Arc::<AtomicBool>::default();
        let (name, (pushed, mut hears)) = (Name::Publisher(publisher), mpsc::channel(AHEAD));
        let (stopped, noted) = (Arc::clone(&stop), notes.clone());
        let pushing = spawn(async move {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for number in 0.. {
                ticks.tick().await;
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                noted.note(name, What::Sent(number));
                let push = match client.begin_push(format!("{publisher} {number}")).await {
                    Ok(push) => push,
                    Err(error) => {
                        noted.note(name, What::Failed(number, error.to_string()));
                        break;
                    }
                };
                if pushed.send((number, push)).await.is_err() {
                    break;
                }
            }
            client
        });
        let noted = notes.clone();
        let hearing = spawn(async move {
            while let Some((number, push)) = hears.recv().await {
                noted.note(
                    name,
                    match push.await {
                        Ok(stored) => What::Acknowledged(number, stored.nodes),
                        Err(error) => What::Failed(number, error.to_string()),
                    },
                );
            }
        });
        Ok(Self { stop, pushing, hearing })
    }

    /// Stops, and waits until all is acknowledged. Returns the client, whose session goes on.
    pub(crate) async fn finish(self) -> Option<Client> {
        self.stop.store(true, Ordering::Release);
        let client = self.pushing.await.ok();
        let _ = self.hearing.await; // If it panicked, what it did not note is missing.
        client
    }
}

/// Gets what is pushed, each message once.
pub(crate) struct Subscriber {
    name: Name,
    /// The node that it is with.
    node: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Subscriber {
    pub(crate) async fn start(urls: Vec<String>, notes: &Notes) -> Result<Self, ConnectError> {
        let mut client = Client::builder(urls).connect().await?;
        let name = notes.next_subscriber();
        let node = Arc::new(Mutex::new(client.node().to_string()));
        let (with, notes) = (Arc::clone(&node), notes.clone());
        let task = spawn(async move {
            while let Some(event) = client.next().await {
                match event {
                    Event::Message(received) => {
                        let text = received.message.as_text().unwrap_or_default();
                        notes.received(name, text, Some(received.id.origin));
                    }
                    Event::Interrupted { .. } => notes.note(name, What::Interrupted),
                    Event::Resumed { node } | Event::Moved { node } => {
                        *with.lock().unwrap_or_else(PoisonError::into_inner) = node.to_string();
                        notes.note(name, What::Connected);
                    }
                    Event::Expired { node, .. } => {
                        *with.lock().unwrap_or_else(PoisonError::into_inner) = node.to_string();
                        notes.note(name, What::Expired);
                    }
                    Event::Gap { .. } => notes.note(name, What::Gap),
                    Event::Ended { .. } => notes.note(name, What::Expired),
                    _ => {}
                }
            }
        });
        Ok(Self { name, node, task })
    }

    pub(crate) const fn name(&self) -> Name {
        self.name
    }

    /// The node that it is with, or was with last.
    pub(crate) fn node(&self) -> String {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A WebSocket that knows nothing of sessions: each connection is a new one.
pub(crate) struct Bare(JoinHandle<()>);

impl Bare {
    pub(crate) fn start(urls: Vec<String>, notes: &Notes) -> Self {
        let (name, notes) = (notes.next_bare(), notes.clone());
        Self(spawn(async move {
            for url in urls.iter().cycle() {
                listen(url, name, &notes).await;
                sleep(RETRY).await;
            }
        }))
    }
}

/// Listens on one connection until it is gone.
async fn listen(url: &str, name: Name, notes: &Notes) {
    let Ok(Ok((mut socket, _))) = tokio::time::timeout(SILENT, connect_async(url)).await else {
        return;
    };
    notes.note(name, What::Connected);
    while let Ok(Some(Ok(message))) = tokio::time::timeout(SILENT, socket.next()).await {
        match message {
            Message::Text(text) => notes.received(name, &text, None),
            Message::Ping(_) if socket.flush().await.is_err() => break,
            _ => {}
        }
    }
    notes.note(name, What::Interrupted);
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "the torture is no node")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
