//! The client of a cluster in Rust: what it pushes is handled once, what it is sent it gets once.
//!
//! Everything is decided by a [`Machine`](machine::Machine), which does no I/O: what is numbered,
//! kept and sent again (`outbox`), what the application has had and what it had before (`inbox`,
//! `seen`), where to connect next and when (`backoff`). A task lends it a socket and the time.
//!
//! ```text
//! Client, Pusher -> shared -> machine -> outbox, inbox, backoff
//!                     ^
//!             task <--+    a socket to one node, and then to another
//! ```

mod acknowledgement;
mod backoff;
mod builder;
mod dice;
mod error;
mod event;
mod handle;
mod inbox;
mod machine;
mod outbox;
mod pushed;
mod pusher;
mod recent;
mod seen;
mod shared;
mod task;

pub use acknowledgement::Acknowledgement;
pub use builder::ClientBuilder;
pub use error::{ConnectError, PushError};
pub use event::{Event, Received};
pub use handle::Client;
pub use pushed::Pushed;
pub use pusher::Pusher;
