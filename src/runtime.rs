//! The runtime of a node: its clock, its tasks, and who owns what.

mod because;
pub(crate) mod clock;
mod front;
mod hub;
mod mailbox;
mod scribe;
mod tasks;

pub(crate) use because::{because, next_cause};
pub(crate) use front::Front;
pub(crate) use hub::{Duty, Hub, Turn};
pub(crate) use mailbox::{Call, Callee, Full, Mailbox};
pub(crate) use scribe::Scribe;
pub(crate) use tasks::Tasks;
