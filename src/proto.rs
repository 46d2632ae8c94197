//! The protocol, as state machines that do no I/O.
//!
//! Nothing below this module reads a clock, draws a random number, spawns a task, takes a lock or
//! touches a socket. A machine is a plain value: it is given an input and the time, and it leaves
//! outputs to be collected. The same machines run in production, in the simulator (`sim`) and in
//! fuzzing, which is what lets a test replay a lost acknowledgement a million times in a second.
//!
//! This module is public for tools and tests. It is exempt from semantic versioning.
//!
//! # How to drive a machine
//!
//! Every machine has the same four kinds of methods, told apart by their names:
//!
//! | kind | named | takes | example |
//! |---|---|---|---|
//! | what happened outside | `handle_*` | `&mut self`, the event, `now` | `handle_frame` |
//! | what the application wants | a verb | `&mut self` | `publish`, `close` |
//! | what to do next | `poll_*` | `&mut self` | `poll_transmit`, `poll_event`, `poll_timeout` |
//! | what is the case | a noun | `&self` | `replica`, `position` |
//!
//! After each call of the first two kinds, call the `poll_*` methods until they return nothing, then
//! wait for the next input or for the instant that `poll_timeout` names.
//!
//! # In which order to read
//!
//! [`Position`], [`Op`], [`TopicLog`], [`Session`], [`Replica`], [`Core`]; then [`wire`].

mod accounting;
mod announcement;
mod attachment;
mod close;
mod closure;
mod core;
mod detachment;
mod durability;
mod explanation;
mod flight;
mod forgotten_topics;
mod gone;
mod handed_on;
mod holder;
mod inbox;
mod journal;
mod ledger;
pub mod licensing;
mod member_event;
mod news;
mod node_event;
mod op;
mod pace;
mod peer;
mod position;
mod post;
mod posted;
pub mod progress;
mod recipients;
mod recorder;
mod released;
mod replica;
mod roster;
mod session;
#[cfg(feature = "sim")]
pub mod sim;
mod slow_consumers;
mod snapshot;
mod testimony;
mod topic;
mod topic_log;
mod topics;
pub mod wire;
mod withdrawals;

pub use accounting::{Accounting, DropCause, Dropped, Ending, Tally};
pub use announcement::{Announcement, InvalidAnnouncement, MemberState};
pub use attachment::{AttachmentKey, Batch, Budget, Gap, Mark};
pub use close::{Close, CloseCode};
pub use closure::{Closure, Closures};
pub use core::{
    Acknowledgement, Attached, Core, Ended, Event, Fate, Lag, Limits, Pending, PostKey, Push,
    Refused, Usage, Verdict, WatchKey,
};
pub use detachment::Detachment;
pub use durability::{Durability, Level};
pub use explanation::{Explanation, Outcome};
pub use flight::{Deliveries, FlightLimits};
pub use holder::Holder;
pub use inbox::{Inbox, InboxMemory, OpenPush};
pub use journal::{Tail, TailLimits};
pub use member_event::{Departure, MemberEvent};
pub use node_event::NodeEvent;
pub use op::Op;
pub use pace::Pace;
pub use peer::Lane;
pub use position::{InvalidToken, Position};
pub use post::Post;
pub use posted::Posted;
pub use recipients::Recipients;
pub use recorder::{Recorded, Work};
pub use released::Released;
pub use replica::{Change, Replica};
pub use roster::{Member, Roster};
pub use session::{CloseReason, Closed, Membership, Presence, Session, SessionState, Stamp};
pub use slow_consumers::SlowConsumers;
pub use testimony::{Kept, Seat, Step, Testimony, What};
pub use topic::{Topic, TopicKey};
pub use topic_log::{Cursor, Entry, LogLimits, TopicLog};
pub use topics::Topics;
