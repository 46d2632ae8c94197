//! A cluster in one thread and in virtual time, to try handlers with what networks and machines do.
//!
//! The nodes are real ones from the handlers down to what they say to each other, byte by byte; only
//! sockets, gossip and clients are played. Time goes by as fast as there is nothing to do, so that a
//! minute's partition takes no time worth speaking of, and all chances (how long something is under
//! way, when a loss is noticed) are drawn from one seed. So a test that fails can be had again with
//! its seed, as often as one likes.
//!
//! It is the cargo feature `sim`, which is for `[dev-dependencies]`.
//!
//! # Examples
//!
//! Partition two nodes while a handler runs:
//!
//! ```
//! use std::time::Duration;
//!
//! use exosphere::{Close, Handler, Message, Session, sim::Cluster};
//!
//! struct Slow;
//!
//! impl Handler for Slow {
//!     async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
//!         tokio::time::sleep(Duration::from_secs(10)).await; // That is virtual time, too.
//!         session.publish(session.path().as_str(), message).await?;
//!         Ok(())
//!     }
//! }
//!
//! let cluster = Cluster::builder(42).nodes(2).route("/chat/{room}", || Slow).start()?;
//! let (ana, bob) = (cluster.client(0, "/chat/lobby"), cluster.client(1, "/chat/lobby"));
//! cluster.run_for(Duration::from_secs(1));
//!
//! ana.push("hello");
//! cluster.run_for(Duration::from_secs(1));
//! cluster.partition(0, 1); // While the handler runs.
//! cluster.run_for(Duration::from_secs(30));
//! // The other node took Ana's for dead, and told its own handler: it ran on both sides.
//! assert_eq!(ana.received(), ["hello".into()]);
//! assert_eq!(bob.received(), ["hello".into()]);
//! ana.push("anybody there?");
//! cluster.run_for(Duration::from_secs(30));
//! assert_eq!(bob.received().len(), 1);
//!
//! cluster.heal();
//! cluster.run_for(Duration::from_secs(30));
//! // What both sides published for the same push comes once.
//! assert_eq!(ana.received(), ["hello".into(), "anybody there?".into()]);
//! assert_eq!(bob.received(), ["hello".into(), "anybody there?".into()]);
//! # Ok::<(), exosphere::InvalidRoute>(())
//! ```
//!
//! # What is played, and what is not there
//!
//! - Nodes say what they have to say in order, and it takes 1 to 20 ms; what a partition holds up
//!   waits, until the link is given up after some seconds. A node that cannot be reached, through
//!   others neither, is taken for dead within about four seconds.
//! - Clients are like `exosphere::client`: they push until it is acknowledged, tell their
//!   application of each message once, and come back by themselves: to the next node, where theirs
//!   is dead. They have no heartbeats, and never lose a connection but by [`Client::disconnect`] and
//!   with their node.
//! - A node that [crashes](Cluster::crash) does nothing more, its handlers neither, at whatever they
//!   were waiting for. There are no stores: what all nodes forget is gone.
//! - Handlers run on a `tokio` runtime of the cluster's own, of one thread, which has timers but
//!   neither sockets nor files. Virtual time goes on while they wait for anything but a timer: for
//!   another thread, for instance. A chance that a handler draws by itself, as an unbiased
//!   `tokio::select!` does, is not drawn from the seed.

mod builder;
mod client;
mod cluster;
mod connection;
mod links;
mod machine;
mod network;
mod seat;

pub use builder::Builder;
pub use client::Client;
pub use cluster::Cluster;
