//! A client in Rust, for services, tests and load.
//!
//! A `Client` connects to one node of a cluster, and to another when that one is gone: what it
//! pushes is handled once, and what it is sent it gets once.

// Beside that, this is the clients' side of a node: bytes to and from browsers, as negotiated with
// each of them. Nothing here knows of topics or of positions. A request is read into a
// `Negotiation`, a WebSocket is a `Socket`, and what is to be sent is encoded once, by `frame`, for
// all.

mod admission;
mod alarm;
mod attachment;
pub(crate) mod body;
mod client_version;
mod conversation;
mod cookies;
mod dialect;
mod envelope;
pub(crate) mod frame;
mod framing;
mod greeting;
#[cfg(feature = "grpc")]
mod grpc;
mod head;
mod host;
pub(crate) mod http;
mod jsonp;
mod long_poll;
mod negotiation;
mod opening;
mod origin;
mod parameters;
mod poller;
mod polls;
mod posts;
mod received;
mod reception;
pub(crate) mod responses;
mod room;
mod script;
mod series;
mod server;
mod signals;
mod slots;
mod stream;
mod tls;
mod transport;
mod upgraded;
pub(crate) mod websocket;
mod write_queue;

pub(crate) use admission::Admission;
pub(crate) use body::Body;
pub(crate) use client_version::ClientVersion;
pub(crate) use cookies::Cookies;
pub(crate) use framing::Framing;
pub(crate) use greeting::Greeting;
#[cfg(feature = "grpc")]
pub(crate) use grpc::Grpc;
pub(crate) use host::Hosts;
pub(crate) use http::{Limits as HttpLimits, listen, serve};
pub(crate) use negotiation::{Asked, Negotiation, NegotiationError};
pub(crate) use origin::Origin;
pub(crate) use parameters::Parameters;
pub(crate) use received::{Bodies, Posted, ReceiveError, receive};
pub(crate) use reception::{Authenticate, Reception};
pub(crate) use room::Room;
pub(crate) use server::Server;
pub(crate) use slots::{Slot, Slots};
pub(crate) use tls::Tls;
pub use tls::{TlsError, TlsFiles};
pub(crate) use transport::Transport;
pub(crate) use websocket::{Incoming, Reader, Socket, SocketError};
pub(crate) use write_queue::WriteQueue;

#[cfg(feature = "client")]
pub use crate::remote::{
    Acknowledgement, Client, ClientBuilder, ConnectError, Event, PushError, Pushed, Pusher,
    Received,
};
