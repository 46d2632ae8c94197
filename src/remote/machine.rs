//! The client's side of a session: where it connects, what it says, and what it makes of what it
//! is told.
//!
//! ```text
//!            poll_dial            handle_open             hello
//!   Waiting -----------> Dialing -------------> Greeting --------> Live
//!      ^                    |                      |                |
//!      |   handle_lost, or not within CONNECT_WITHIN                |
//!      +--------------------+----------------------+                |
//!      |   handle_lost, or silent for two heartbeats                |
//!      +------------------------------------------------------------+
//!
//!   any --- close, or closed by the node for good ---> Ended
//! ```

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use super::{
    acknowledgement::Acknowledgement,
    backoff::Backoff,
    dice::Dice,
    event::{Event, Received},
    inbox::{ConnectionNumber, Inbox, Mark},
    outbox::{Outbox, Settled, Ticket},
};
use crate::{
    id::{NodeId, SessionId},
    message::Message,
    postman::{FromClient, FromNode},
    proto::Close,
};

/// The client's side of a session.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    connection: ConnectionNumber,
    session: Option<(SessionId, NodeId)>,
    outbox: Outbox,
    inbox: Inbox,
    backoff: Backoff,
    /// How many nodes there are in the list.
    listed: NonZeroUsize,
    /// Where a node has sent this client last, which is tried in turns with the list.
    destination: Option<String>,
    heartbeat: Duration,
    /// What happened last that a connection was lost for.
    lost: String,
    dice: Dice,
}

#[derive(Debug)]
enum State {
    /// There is no connection, and the next is not sought before `until`.
    Waiting { until: Instant },
    /// A connection to a node is sought.
    Dialing { until: Instant },
    /// There is a connection, and the node has not said who it is.
    Greeting { until: Instant },
    /// The node is there.
    Live { since: Instant, heard: Instant, ping: Ping },
    /// Over. Nothing changes any more.
    Ended,
}

/// Whether the node is asked if it is still there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ping {
    NotNeeded,
    Due,
    Sent,
}

/// How a client is to be.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) nodes: NonZeroUsize,
    pub(super) ack_interval: Duration,
    pub(super) heartbeat: Duration,
    pub(super) is_deaf: bool,
    pub(super) seed: u64,
}

/// Where to connect, and what to say there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dial {
    /// The node's place in the list.
    pub(super) node: usize,
    /// The URL of the node to go to instead, if there is one.
    pub(super) destination: Option<String>,
    /// The session to go on with.
    pub(super) session: Option<SessionId>,
    /// What the application has of the route's topic.
    pub(super) position: Option<String>,
}

/// What to put on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Transmit {
    Text(String),
    Ping,
}

impl Machine {
    /// How long it may take to connect to a node and to be greeted.
    pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(3);

    /// How long a connection must last to count as a success.
    pub(super) const SOUND_AFTER: Duration = Duration::from_secs(1);

    /// The longest position that is sent: a node refuses longer ones.
    const MAX_POSITION_CHARS: usize = 1024;

    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let mut dice = Dice::new(config.seed);
        Self {
            state: State::Waiting { until: now },
            connection: 0,
            session: None,
            outbox: Outbox::new(config.ack_interval, &mut dice),
            inbox: Inbox::new(config.is_deaf),
            backoff: Backoff::new(config.nodes),
            listed: config.nodes,
            destination: None,
            heartbeat: config.heartbeat,
            lost: String::new(),
            dice,
        }
    }

    /// A connection is there.
    pub(super) fn handle_open(&mut self) {
        if let State::Dialing { until } = self.state {
            self.state = State::Greeting { until };
            self.connection += 1;
        }
    }

    /// Something came from the node, whatever it is.
    pub(super) fn handle_heard(&mut self, now: Instant) {
        if let State::Live { since, heard, ping } = &mut self.state {
            *heard = now;
            *ping = Ping::NotNeeded;
            if now.duration_since(*since) >= Self::SOUND_AFTER {
                self.backoff.handle_success();
            }
        }
    }

    /// The node said something.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        self.handle_heard(now);
        match (FromNode::decode(text), &self.state) {
            (Ok(Some(FromNode::Hello { session, node, resumed, .. })), State::Greeting { .. }) => {
                self.handle_hello(session, node, resumed, now);
            }
            (Ok(Some(said)), State::Live { .. }) => self.handle_frame(said, now),
            (Ok(None), State::Live { .. }) => {}
            (_, State::Waiting { .. } | State::Dialing { .. } | State::Ended) => {}
            (Err(err), _) => self.handle_lost(&err, now),
            (Ok(_), State::Greeting { .. }) => {
                self.handle_lost(&"the node does not say who it is", now);
            }
        }
    }

    /// The node closes the connection.
    pub(super) fn handle_closed(&mut self, code: u16, reason: &str, now: Instant) {
        match code {
            NORMAL | FORBIDDEN | SUPERSEDED => {
                self.lost = format!("closed with {code} {reason}");
                self.end(Event::Ended { code, reason: reason.to_owned() });
            }
            _ => {
                self.handle_lost(&format_args!("closed with {code} {reason}"), now);
                if let Some(url) = Close::destination(code, reason) {
                    self.handle_sent_to(url, now);
                }
            }
        }
    }

    /// The node has sent this client to another one. If it cannot be reached, those of the list are tried,
    /// and then it is again.
    fn handle_sent_to(&mut self, url: &str, now: Instant) {
        if let State::Waiting { until } = &mut self.state {
            *until = now;
            self.destination = Some(url.to_owned());
            self.backoff.add_next(self.listed);
        }
    }

    /// The connection is gone, or could not be made.
    pub(super) fn handle_lost(&mut self, reason: &dyn std::fmt::Display, now: Instant) {
        if matches!(self.state, State::Waiting { .. } | State::Ended) {
            return;
        }
        self.lost = reason.to_string();
        if matches!(self.state, State::Live { .. }) {
            self.inbox.handle_event(Event::Interrupted { reason: self.lost.clone() });
        }
        self.state = State::Waiting { until: now + self.backoff.handle_failure(&mut self.dice) };
    }

    /// The instant that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// Calling this early, late or twice does no harm.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Dialing { until } | State::Greeting { until } if *until <= now => {
                self.handle_lost(&"the node does not answer", now);
            }
            // Who does not listen cannot say that nothing is to be heard.
            State::Live { heard, .. } if self.inbox.is_full() => *heard = now,
            State::Live { heard, .. } if *heard + self.heartbeat * 2 <= now => {
                self.handle_lost(&"the node is silent", now);
            }
            State::Live { heard, ping: ping @ Ping::NotNeeded, .. }
                if *heard + self.heartbeat <= now =>
            {
                *ping = Ping::Due;
            }
            _ => {}
        }
        if matches!(self.state, State::Live { .. }) {
            self.outbox.handle_timeout(&mut self.dice, now);
        }
    }

    /// Takes responsibility for `message`, unless the session has ended.
    pub(super) fn push(&mut self, message: Message) -> Option<Ticket> {
        (!self.is_ended()).then(|| self.outbox.push(message))
    }

    /// The next event for the application, which has had the one before.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.inbox.next()
    }

    /// The application has had the event that it was given last.
    pub(super) fn done(&mut self) {
        self.inbox.done();
    }

    /// Ends the session.
    pub(super) fn close(&mut self) {
        self.end(Event::Ended { code: NORMAL, reason: "the client was closed".to_owned() });
    }

    /// Where to connect to now.
    pub(super) fn poll_dial(&mut self, now: Instant) -> Option<Dial> {
        match self.state {
            State::Waiting { until } if until <= now => {
                self.state = State::Dialing { until: now + Self::CONNECT_WITHIN };
                let (position, node) = (self.inbox.position(), self.backoff.node());
                let is_listed = node < self.listed.get();
                Some(Dial {
                    node: node % self.listed,
                    destination: self.destination.clone().filter(|_| !is_listed),
                    session: self.session.map(|(session, _)| session),
                    position: position
                        .filter(|token| token.len() <= Self::MAX_POSITION_CHARS)
                        .map(str::to_owned),
                })
            }
            _ => None,
        }
    }

    /// What to say next.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let State::Live { ping, .. } = &mut self.state else { return None };
        if *ping == Ping::Due {
            *ping = Ping::Sent;
            return Some(Transmit::Ping);
        }
        let passed = self.inbox.poll_passed(self.connection).map(FromClient::Confirm);
        let said = passed.or_else(|| self.outbox.poll_transmit(now))?;
        Some(Transmit::Text(said.encode()))
    }

    /// The next push of which it is known what became of it.
    pub(super) fn poll_settled(&mut self) -> Option<Settled> {
        self.outbox.poll_settled()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) or [`poll_dial`](Self::poll_dial).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Dialing { until } | State::Greeting { until } => {
                Some(until)
            }
            State::Live { heard, ping, .. } => {
                let beats = if ping == Ping::NotNeeded { 1 } else { 2 };
                let silent = heard + self.heartbeat * beats;
                Some(self.outbox.poll_timeout().map_or(silent, |due| due.min(silent)))
            }
            State::Ended => None,
        }
    }

    /// Whether there is a connection, or one is sought: if not, it is to be given up.
    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.state, State::Dialing { .. } | State::Greeting { .. } | State::Live { .. })
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the node is to be read from.
    pub(super) const fn has_room(&self) -> bool {
        !self.inbox.is_full()
    }

    /// The session, and the node that it is or was with. `None` before the first.
    pub(super) const fn session(&self) -> Option<(SessionId, NodeId)> {
        self.session
    }

    /// Why every node could not be reached.
    pub(super) fn unreachable(&self) -> Option<&str> {
        (self.backoff.has_tried_all() || self.is_ended()).then_some(self.lost.as_str())
    }

    fn handle_hello(&mut self, session: SessionId, node: NodeId, resumed: bool, now: Instant) {
        match self.session {
            None => self.outbox.handle_connected(),
            Some((before, _)) if before != session || !resumed => {
                self.outbox.handle_new_session(&mut self.dice);
                self.inbox.handle_event(Event::Expired { session, node });
            }
            Some((_, before)) => {
                self.outbox.handle_connected();
                self.inbox.handle_event(match before == node {
                    true => Event::Resumed { node },
                    false => Event::Moved { node },
                });
            }
        }
        self.session = Some((session, node));
        self.state = State::Live { since: now, heard: now, ping: Ping::NotNeeded };
    }

    fn handle_frame(&mut self, said: FromNode, now: Instant) {
        match said {
            FromNode::Hello { .. } => self.handle_lost(&"the node says twice who it is", now),
            FromNode::Message { id, topic, cause, message } => {
                self.inbox.handle_message(Received { id, topic, message }, cause);
            }
            FromNode::Mark { number, position } => {
                self.inbox.handle_mark(Mark { connection: self.connection, number, position });
            }
            FromNode::Gap { topic, from, to } => {
                self.inbox.handle_event(Event::Gap { topic, from, to });
            }
            FromNode::Acknowledged { key, level, nodes } => {
                self.outbox.handle_acknowledged(&key, Acknowledgement { level, nodes }, now);
            }
            FromNode::Closed { code, reason } => self.handle_closed(code, &reason, now),
            FromNode::Refused { key, error } => self.outbox.handle_refused(&key, error, now),
        }
    }

    fn end(&mut self, event: Event) {
        if !self.is_ended() {
            self.state = State::Ended;
            self.inbox.handle_event(event);
        }
    }
}

/// Done: there is nothing to come back for.
pub(super) const NORMAL: u16 = 1000;

/// What was asked for is not this client's to have.
const FORBIDDEN: u16 = 4403;

/// Another connection has the session.
const SUPERSEDED: u16 = 4409;

#[cfg(test)]
mod tests;
