//! exosphere: start your application twice and it is one server.
#![warn(missing_docs)]

pub mod id;
mod message;
pub mod proto;
#[cfg(feature = "node")]
mod runtime;

pub use message::Message;
