//! The runtime of a node: its clock, its tasks, and who owns what. A client has the clock of it.

#[cfg(feature = "node")]
mod because;
pub(crate) mod clock;
#[cfg(feature = "node")]
mod filter;
#[cfg(feature = "node")]
mod filters;
#[cfg(feature = "node")]
mod front;
#[cfg(feature = "node")]
mod happening;
#[cfg(feature = "node")]
mod hub;
#[cfg(feature = "node")]
mod line;
#[cfg(feature = "node")]
mod mailbox;
#[cfg(feature = "node")]
mod pattern;
#[cfg(feature = "node")]
mod scribe;
#[cfg(feature = "node")]
mod stamps;
#[cfg(feature = "node")]
mod statistics;
#[cfg(feature = "node")]
mod tasks;
#[cfg(feature = "node")]
pub(crate) mod traces;

#[cfg(feature = "node")]
pub(crate) use because::{because, next_cause};
#[cfg(feature = "node")]
pub use filter::{Filter, Refusal};
#[cfg(feature = "node")]
pub use filters::{FilterError, FilterInfo};
#[cfg(feature = "node")]
pub(crate) use filters::{Filters, Named};
#[cfg(feature = "node")]
pub(crate) use front::{Bare, Front};
#[cfg(feature = "node")]
pub(crate) use happening::Happening;
#[cfg(feature = "node")]
pub use happening::WebSocketEnd;
#[cfg(feature = "node")]
pub(crate) use hub::{Counted, Duty, HEARTBEAT, Hub, Turn};
#[cfg(feature = "node")]
pub(crate) use line::{Line, Over, Saying};
#[cfg(feature = "node")]
pub(crate) use mailbox::{Call, Callee, Full, Mailbox};
#[cfg(feature = "node")]
pub use pattern::InvalidPattern;
#[cfg(feature = "node")]
pub(crate) use pattern::Pattern;
#[cfg(feature = "node")]
pub(crate) use scribe::Scribe;
#[cfg(feature = "node")]
pub(crate) use stamps::{LOOK_EVERY, Stamps};
#[cfg(feature = "node")]
pub use statistics::{Browser, Connections, Statistics, Times};
#[cfg(feature = "node")]
pub(crate) use tasks::Tasks;
