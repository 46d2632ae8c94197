//! The client, as the application holds it.

use std::{fmt, sync::Arc};

use tokio::{sync::oneshot, time::timeout};

use super::{
    acknowledgement::Acknowledgement, builder::ClientBuilder, error::PushError, event::Event,
    machine::Machine, pushed::Pushed, pusher::Pusher, shared::Shared,
};
use crate::{
    id::{NodeId, SessionId},
    message::Message,
};

/// A client of a cluster. What it pushes is handled once; what it is sent, it gets once.
///
/// It connects to one of the nodes that it was given, and to another when that one is gone: the
/// session goes on there, nothing that was pushed is lost, and nothing comes twice.
///
/// When it is dropped its session ends. A task on the runtime that it was made on does the work.
///
/// # Examples
///
/// ```no_run
/// use exosphere::client::{Client, Event};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let nodes = ["ws://127.0.0.1:8080/chat/lobby", "ws://127.0.0.1:8081/chat/lobby"];
/// let mut client = Client::builder(nodes).connect().await?;
///
/// let stored = client.push("hello").await?;
/// println!("{} nodes have it", stored.nodes);
///
/// while let Some(event) = client.next().await {
///     match event {
///         Event::Message(received) => println!("{}: {:?}", received.id, received.message),
///         Event::Gap { topic, .. } => println!("messages of {topic} are gone"),
///         event => println!("{event:?}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a client that is dropped ends its session"]
pub struct Client {
    shared: Arc<Shared>,
    /// Ready, with an error, when the task has ended.
    ended: oneshot::Receiver<()>,
}

impl Client {
    /// Begins to make a client of the nodes at these URLs, such as
    /// `ws://127.0.0.1:8080/chat/lobby`, which are tried in this order.
    ///
    /// All should be of one cluster, and have the same path: it chooses the handler and the topic.
    pub fn builder<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> ClientBuilder {
        ClientBuilder::new(urls.into_iter().map(Into::into).collect())
    }

    pub(super) const fn new(shared: Arc<Shared>, ended: oneshot::Receiver<()>) -> Self {
        Self { shared, ended }
    }

    /// Pushes a message to the handler, and waits until the cluster has stored it.
    ///
    /// Messages are handled in the order in which they were pushed: at least once, and what the
    /// handler publishes is published once. What is pushed is kept here until it is acknowledged,
    /// 1,024 messages and 4 MiB at most: then this waits for room. It is sent again after
    /// [`ack_interval`](ClientBuilder::ack_interval), and whenever there is a new connection.
    ///
    /// # Errors
    ///
    /// - [`PushError::Ended`]: the client has ended, and it is not known whether it was stored.
    /// - [`PushError::Refused`]: it was not handled. Trying again may help.
    /// - [`PushError::TooLarge`]: nothing was pushed. Trying again does not help.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits for room, nothing was pushed; after that the message
    /// goes its way. Whoever must know which uses [`begin_push`](Self::begin_push).
    pub async fn push(&self, message: impl Into<Message>) -> Result<Acknowledgement, PushError> {
        self.begin_push(message).await?.await
    }

    /// Pushes a message to the handler, without waiting until it is stored.
    ///
    /// This is how one task has many pushes on their way: 32 of them, more wait their turn.
    ///
    /// # Errors
    ///
    /// [`PushError::Ended`] and [`PushError::TooLarge`]: nothing was pushed. The result of what is
    /// returned tells the rest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready means that nothing was pushed.
    pub async fn begin_push(&self, message: impl Into<Message>) -> Result<Pushed, PushError> {
        self.shared.push(message.into()).await
    }

    /// A handle that pushes for this client, from other tasks.
    pub fn pusher(&self) -> Pusher {
        Pusher::new(Arc::clone(&self.shared))
    }

    /// Waits for the next event. `None` once the client has ended and all has been told.
    ///
    /// Coming for the next event says that the application has had the one before: only then is a
    /// message acknowledged. 1,024 messages and 4 MiB at most wait here, and then the node is not
    /// read from: an application that comes too rarely also learns late what became of its pushes.
    /// One that does not come at all says [`push_only`](ClientBuilder::push_only).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let (event, is_ended) =
                self.shared.ask(|machine| (machine.next_event(), machine.is_ended()));
            if event.is_some() || is_ended {
                return event;
            }
            self.shared.news.notified().await;
        }
    }

    /// Says that the application has had the last event, without waiting for the next.
    pub fn done(&mut self) {
        self.shared.ask(|machine| machine.done());
    }

    /// The session, whose id is a secret of this client's: whoever knows it can take it over.
    pub fn session(&self) -> SessionId {
        self.shared.look(|machine| at_least_once(machine).0)
    }

    /// The node that the client is with, or was with last.
    pub fn node(&self) -> NodeId {
        self.shared.look(|machine| at_least_once(machine).1)
    }

    /// Ends the session, and waits until the node was told, for a few seconds at most.
    ///
    /// What was pushed and not acknowledged may be stored or not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session all the same.
    pub async fn close(mut self) {
        self.shared.ask(|machine| machine.close());
        let _ = timeout(super::task::CLOSE_WITHIN, &mut self.ended).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.ask(|machine| machine.close());
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("node", &self.node()).finish_non_exhaustive()
    }
}

fn at_least_once(machine: &Machine) -> (SessionId, NodeId) {
    machine.session().expect("a client has been connected before it is handed out")
}
