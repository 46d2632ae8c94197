//! The crate's face. What it is and does stands in the README, which is its documentation.
#![doc = include_str!("../README.md")]

#[cfg(feature = "node")]
mod client;
#[cfg(feature = "node")]
mod cluster;
#[cfg(feature = "node")]
mod error;
#[cfg(all(fuzzing, feature = "node"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "node")]
mod handler;
pub mod id;
mod message;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod postman;
pub mod proto;
#[cfg(feature = "node")]
mod route;
#[cfg(feature = "node")]
mod runtime;
#[cfg(feature = "node")]
mod service;
#[cfg(feature = "node")]
mod session;
#[cfg(feature = "node")]
mod store;
#[cfg(feature = "node")]
mod topic;

#[cfg(feature = "node")]
pub use error::Error;
#[cfg(feature = "node")]
pub use handler::Handler;
pub use id::{InvalidPushKey, InvalidTopicName, MessageId, NodeId, PushKey, SessionId, TopicName};
pub use message::Message;
#[cfg(feature = "node")]
pub use node::{Builder, Members, Node, ServeError, StartError};
pub use proto::{
    Accounting, Close, CloseCode, CloseReason, DropCause, Dropped, Durability, Ending, Gap, Level,
    Member, Roster, Tally,
};
#[cfg(feature = "node")]
pub use route::InvalidRoute;
#[cfg(feature = "node")]
pub use service::{Body, NodeService};
#[cfg(feature = "node")]
pub use session::{JoinError, Session};
#[cfg(feature = "node")]
pub use store::{Cut, Recovered, StoreState};
#[cfg(feature = "node")]
pub use topic::{NoDisk, PublishError, Receipt, Topic};
