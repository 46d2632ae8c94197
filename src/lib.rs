//! The crate's face. What it is and does stands in the README, which is its documentation.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(all(feature = "node", not(feature = "client")))]
mod client;
#[cfg(all(feature = "node", feature = "client"))]
pub mod client;
/// A client in Rust, for services, tests and load.
#[cfg(all(feature = "client", not(feature = "node")))]
pub mod client {
    pub use crate::remote::*;
}
#[cfg(feature = "node")]
mod cluster;
#[cfg(feature = "node")]
mod connection;
#[cfg(feature = "control")]
mod control;
#[cfg(feature = "node")]
mod error;
#[cfg(all(fuzzing, feature = "node"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "node")]
mod handler;
pub mod id;
#[cfg(feature = "node")]
mod json;
#[cfg(feature = "node")]
mod license;
mod message;
/// A door for the tests of this repository, to whom it may change at any time.
#[cfg(all(feature = "node", feature = "sim"))]
#[doc(hidden)]
pub mod network {
    pub use crate::cluster::network::{Network, Socket};
}
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
mod path;
#[cfg(any(feature = "client", feature = "node"))]
#[cfg_attr(
    not(all(feature = "client", feature = "node")),
    allow(dead_code, reason = "each side needs its half of what is said")
)]
mod postman;
pub mod proto;
#[cfg(feature = "client")]
mod remote;
#[cfg(feature = "node")]
mod reply;
#[cfg(feature = "node")]
pub mod report;
#[cfg(feature = "node")]
mod rest;
#[cfg(feature = "node")]
mod route;
#[cfg(any(feature = "client", feature = "node"))]
mod runtime;
#[cfg(feature = "node")]
mod service;
#[cfg(feature = "node")]
mod session;
#[cfg(all(feature = "node", feature = "sim"))]
pub mod sim;
#[cfg(feature = "node")]
mod store;
#[cfg(feature = "node")]
mod topic;
#[cfg(feature = "node")]
mod websocket;

#[cfg(feature = "node")]
pub use client::{TlsError, TlsFiles};
#[cfg(feature = "node")]
pub use cluster::{AskError, Discover, Discovery, Security};
#[cfg(feature = "node")]
pub use connection::{ClientRequest, Connection, Evidence, Transport};
#[cfg(feature = "control")]
pub use control::{Control, ControlError, Role};
#[cfg(feature = "node")]
pub use error::Error;
#[cfg(feature = "node")]
pub use handler::Handler;
pub use id::{
    InvalidPrincipal, InvalidPushKey, InvalidTopicName, MessageId, NodeId, Principal, PushKey,
    SessionId, TopicName,
};
#[cfg(feature = "node")]
pub use json::{Json, json};
#[cfg(feature = "node")]
pub use license::{
    Grant, InvalidKey, InvalidLicense, License, NotInForce, PublicKey, SigningKey, Validity,
};
pub use message::{InvalidTraceContext, Message, TraceContext};
#[cfg(feature = "node")]
pub use node::{
    Builder, InvalidLimit, InvalidSessionFilter, Limits, MemberEvents, Members, Node, NodeEvents,
    ServeError, StartError,
};
pub use proto::{
    Accounting, Close, CloseCode, CloseReason, Detachment, DropCause, Dropped, Durability, Ending,
    Explanation, Fate, Gap, InvalidAnnouncement, Level, Member, MemberEvent, MemberState,
    NodeEvent, Outcome, Pace, Pending, Roster, SlowConsumers, Step, Tally, What,
};
#[cfg(feature = "node")]
pub use reply::Reply;
#[cfg(feature = "node")]
pub use rest::{Rest, rest};
#[cfg(feature = "node")]
pub use route::{InvalidRoute, RouteInfo, SwapError};
#[cfg(feature = "node")]
pub use runtime::{Browser, Connections, Statistics, Times};
#[cfg(feature = "node")]
pub use runtime::{Filter, FilterError, FilterInfo, InvalidPattern, Refusal};
#[cfg(feature = "node")]
pub use service::{Body, NodeService, RequestBody};
#[cfg(feature = "node")]
pub use session::Session;
#[cfg(feature = "node")]
pub use store::{Cut, Recovered, StoreState};
#[cfg(feature = "node")]
pub use topic::{
    ClosureError, JoinError, MessageReport, NoDisk, PublishError, Receipt, ResumeError, Stored,
    Topic, Topics, WithdrawError,
};
#[cfg(feature = "node")]
pub use websocket::{SendError, WebSocket, WebSocketEnd, WebSocketHandler};
