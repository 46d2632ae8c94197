//! How a client is to be.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    error::ConnectError,
    handle::Client,
    machine::{Config, Machine},
    shared::Shared,
    task::{Address, Task},
};
use crate::runtime::clock;

/// How a client is to be. See [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `connect`"]
pub struct ClientBuilder {
    urls: Vec<String>,
    ack_interval: Duration,
    heartbeat: Duration,
    is_deaf: bool,
}

impl ClientBuilder {
    pub(super) const fn new(urls: Vec<String>) -> Self {
        let (ack_interval, heartbeat) = (Duration::from_secs(5), Duration::from_secs(5));
        Self { urls, ack_interval, heartbeat, is_deaf: false }
    }

    /// How long an acknowledgement is waited for before pushes are sent again. Doubles, with some
    /// jitter, while none comes, to 60 s at most.
    ///
    /// Defaults to 5 s. A node recognizes what it has: shorter costs traffic and nothing else.
    pub const fn ack_interval(mut self, interval: Duration) -> Self {
        self.ack_interval = interval;
        self
    }

    /// After how long a silence a node is asked whether it is there. If it is silent for as long
    /// again, another node is sought.
    ///
    /// Defaults to 5 s. A node whose process is gone is noticed at once, whatever this is: this is
    /// for nodes that are stopped or cut off. Each idle client costs a ping in this time.
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// The client pushes and wants no messages: what comes counts as had, and is dropped.
    /// [`Client::next`] tells of the connection only.
    pub const fn push_only(mut self) -> Self {
        self.is_deaf = true;
        self
    }

    /// Connects to the first node that answers, and begins a session there.
    ///
    /// Each node is tried once, for 3 s at most. Once this has succeeded, the client finds its way
    /// back by itself, however long that takes.
    ///
    /// # Errors
    ///
    /// - [`ConnectError::InvalidUrl`], [`ConnectError::NoUrl`]: trying again does not help.
    /// - [`ConnectError::Unreachable`]: no node answered. Trying again may help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session, if there is one already.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let addresses =
            self.urls.iter().map(|url| Address::parse(url)).collect::<Result<Vec<_>, _>>()?;
        let nodes = NonZeroUsize::new(addresses.len()).ok_or(ConnectError::NoUrl)?;
        let config = Config {
            nodes,
            ack_interval: self.ack_interval,
            heartbeat: self.heartbeat,
            is_deaf: self.is_deaf,
            seed: seed(),
        };
        let shared = Arc::new(Shared::new(Machine::new(&config, clock::now())));
        let (task, ended) = oneshot::channel();
        let client = Client::new(Arc::clone(&shared), ended);
        Task::new(Arc::clone(&shared), addresses).spawn(task);
        loop {
            let reached = shared.look(|machine| {
                let unreachable = machine.unreachable().map(str::to_owned);
                (machine.session().is_some(), unreachable)
            });
            match reached {
                (true, _) => return Ok(client),
                (false, Some(reason)) => return Err(ConnectError::Unreachable { reason }),
                (false, None) => shared.news.notified().await,
            }
        }
    }
}

/// Random bits, none of them a part of the version of a UUID.
fn seed() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high.rotate_left(32) ^ low
}
