//! How much a node takes and keeps, and for how long.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use thiserror::Error;

use crate::{
    proto::{self, LogLimits},
    runtime::HEARTBEAT,
};

/// How many clients may be connected, unless that is set.
const CONNECTIONS: usize = 100_000;

/// How many bytes may be posted at a time, unless that is set.
const POSTED_BYTES: usize = 64 << 20;

/// How many plain long polls wait at most, unless that is set.
const PARKED_POLLS: usize = 50_000;

/// How often clients can be sent heartbeats.
const HEARTBEATS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// For how long sessions and messages can be kept.
const KEPT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// How much a node takes and keeps, and for how long: see [`Builder::limits`](crate::Builder::limits) and
/// [`Node::set_limits`](crate::Node::set_limits).
///
/// Each node has limits of its own; give all of them the same, or a client finds other ones wherever it
/// goes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use exosphere::{Limits, Node};
///
/// let mut limits = Limits::default();
/// limits.session_kept = Duration::from_secs(600);
/// limits.topic_messages = 100_000;
/// let builder = Node::builder("chat").limits(limits);
/// # drop(builder);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`Builder::max_connections`](crate::Builder::max_connections). Clients that are connected stay.
    /// Defaults to 100,000.
    pub connections: usize,
    /// How often a client is sent a heartbeat, and asked whether it is there, from one second to an hour;
    /// after two without an answer it is taken to be gone. It is that of connections that begin from
    /// then on. Defaults to 25 s, as many a proxy ends what is silent for 30 s.
    pub heartbeat: Duration,
    /// How many bytes all topics may have together before the largest drop their oldest messages. Defaults
    /// to 256 MiB.
    pub logs_bytes: usize,
    /// See [`Builder::max_parked_polls`](crate::Builder::max_parked_polls). Defaults to 50,000.
    pub parked_polls: usize,
    /// See [`Builder::max_posted_bytes`](crate::Builder::max_posted_bytes). Defaults to 64 MiB.
    pub posted_bytes: usize,
    /// How long a session is kept whose client is away, from one second to a day: it counts for connections
    /// that end from then on. Defaults to two minutes.
    pub session_kept: Duration,
    /// See [`Builder::max_sessions`](crate::Builder::max_sessions). Defaults to 1,000,000.
    pub sessions: usize,
    /// How many bytes a topic may have, at least one, before it drops its oldest messages. A message costs
    /// some 600 beside its own. Defaults to 16 MiB.
    pub topic_bytes: usize,
    /// How many messages a topic may have, at least one, before it drops its oldest. Defaults to 10,000.
    pub topic_messages: usize,
    /// See [`Builder::max_topics`](crate::Builder::max_topics). Defaults to 100,000.
    pub topics: usize,
    /// How long a message waits for those who have not fetched it, from one second to a day. Defaults to
    /// five minutes.
    pub unread_for: Duration,
}

impl Limits {
    /// Whether each can be.
    ///
    /// # Errors
    ///
    /// [`InvalidLimit`] names one that cannot.
    pub(crate) fn check(&self) -> Result<(), InvalidLimit> {
        let counts = [("topic_bytes", self.topic_bytes), ("topic_messages", self.topic_messages)];
        let times = [
            ("heartbeat", self.heartbeat, HEARTBEATS),
            ("session_kept", self.session_kept, KEPT),
            ("unread_for", self.unread_for, KEPT),
        ];
        if let Some((name, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return Err(InvalidLimit { name, why: "it is at least 1" });
        }
        for (name, time, range) in times {
            if !range.contains(&time) {
                let why = match name {
                    "heartbeat" => "it is from one second to an hour",
                    _ => "it is from one second to a day",
                };
                return Err(InvalidLimit { name, why });
            }
        }
        Ok(())
    }

    /// What the core is to keep to, in place of `before`.
    pub(super) fn of_core(&self, before: &proto::Limits) -> proto::Limits {
        let count = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let log = LogLimits {
            messages: count(self.topic_messages),
            bytes: count(self.topic_bytes),
            unread_for: self.unread_for,
            ..before.log
        };
        let Self { logs_bytes, session_kept, sessions, topics, .. } = *self;
        proto::Limits { log, logs_bytes, session_kept, sessions, topics, ..*before }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let core = proto::Limits::default();
        Self {
            connections: CONNECTIONS,
            heartbeat: HEARTBEAT,
            logs_bytes: core.logs_bytes,
            parked_polls: PARKED_POLLS,
            posted_bytes: POSTED_BYTES,
            session_kept: core.session_kept,
            sessions: core.sessions,
            topic_bytes: core.log.bytes.get(),
            topic_messages: core.log.messages.get(),
            topics: core.topics,
            unread_for: core.log.unread_for,
        }
    }
}

/// A limit that cannot be. Nothing changed; another value helps.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the limit {name} cannot be that: {why}")]
#[non_exhaustive]
pub struct InvalidLimit {
    /// Which.
    pub name: &'static str,
    /// What it can be.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let check = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().map_err(|err| err.name)
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|limits| limits.sessions = 0), Ok(()), "nobody begins there then");
        assert_eq!(check(|limits| limits.topic_messages = 0), Err("topic_messages"));
        assert_eq!(check(|limits| limits.topic_bytes = 0), Err("topic_bytes"));
        assert_eq!(check(|limits| limits.heartbeat = Duration::ZERO), Err("heartbeat"));
        let two_days = |limits: &mut Limits| limits.session_kept = Duration::from_secs(172_800);
        assert_eq!(check(two_days), Err("session_kept"));
        assert_eq!(check(|limits| limits.unread_for = Duration::ZERO), Err("unread_for"));
    }

    #[test]
    fn the_core_keeps_to_what_is_said_and_its_own() {
        let limits = Limits { topics: 7, topic_bytes: 9, ..Limits::default() };
        let mut before = proto::Limits::default();
        before.log.floor = Duration::from_secs(77);
        let core = limits.of_core(&before);
        assert_eq!((core.topics, core.log.bytes.get(), core.sessions), (7, 9, 1_000_000));
        assert_eq!(core.log.floor, before.log.floor);
    }
}
