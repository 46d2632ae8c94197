//! A frame as bytes, made once and sent to every peer.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::{Hello, PREFIX_BYTES, SnapshotPart, flag, kind, write_array};
use crate::{
    id::{MessageId, NodeId, Seq},
    message::Message,
    proto::{Op, Position, Post, Posted, Released, progress::Report},
};

/// A frame as it goes over the wire. Cheap to clone: the bytes are shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// Everything before the payload.
    head: Bytes,
    /// The payload, which is the very memory that the message came in.
    payload: Bytes,
}

impl Encoded {
    /// What a frame costs beside its bytes while it is kept.
    const OVERHEAD_BYTES: usize = 128;

    /// The frame that opens a link.
    pub fn hello(hello: &Hello) -> Self {
        Self::plain(kind::HELLO, hello)
    }

    /// The frame that says what this node has stored.
    pub fn have(have: &Position) -> Self {
        Self::plain(kind::HAVE, &(have,))
    }

    /// The frame that says how far this node's sessions have read a topic.
    pub fn report(report: &Report) -> Self {
        Self::plain(kind::REPORT, report)
    }

    /// The frame that asks for `origin`'s operations from `from` on.
    pub fn pull(origin: NodeId, from: Seq) -> Self {
        Self::plain(kind::PULL, &(origin, from))
    }

    /// The frame that says what this node knew of a session when another claimed it.
    pub fn released(released: &Released) -> Self {
        Self::plain(kind::RELEASED, released)
    }

    /// The frame that hands on what a client has posted, which this node calls `number`.
    pub fn post(number: u64, post: &Post) -> Self {
        let confirmed = post.confirmed.map(|(series, mark)| (series, mark.get()));
        let pushes = post.pushes.iter();
        let (pushes, messages): (Vec<_>, Vec<_>) = pushes
            .map(|(key, message)| ((key, message.is_text(), message.len()), message.as_bytes()))
            .unzip();
        let header =
            [array(&(number, post.session, confirmed, post.is_done)), array(&pushes)].concat();
        let payload = match &messages[..] {
            [message] => (*message).clone(),
            messages => messages.iter().flat_map(|message| message.iter().copied()).collect(),
        };
        Self::assemble(kind::POST, 0, &header, payload)
    }

    /// The frame that says what became of the post that its receiver calls `number`.
    pub fn posted(number: u64, posted: &Posted) -> Self {
        let stored = match posted {
            Posted::Stored(stored) => Some(stored),
            Posted::Later => None,
        };
        Self::plain(kind::POSTED, &(number, stored))
    }

    /// The frame that says that this node leaves on purpose.
    pub fn goodbye() -> Self {
        Self::plain(kind::GOODBYE, &((),))
    }

    /// The operation `id` of a journal.
    pub fn op(id: MessageId, op: &Op) -> Self {
        let place = (id.origin, id.seq);
        match op {
            Op::Accepted { session, key, message } => {
                let header = [array(&place), array(&(session, key))].concat();
                Self::letter(kind::ACCEPTED, flag::OPERATION, &header, message)
            }
            Op::Follows { after } => Self::operation(kind::FOLLOWS, place, &(after,)),
            Op::Handled { session, key } => Self::operation(kind::HANDLED, place, &(session, key)),
            Op::Departed { session, topic, left } => {
                Self::operation(kind::DEPARTED, place, &(session, topic, left))
            }
            Op::Joined { session, epoch, topic, from } => {
                Self::operation(kind::JOINED, place, &(session, epoch, topic, from))
            }
            Op::Left { session, epoch, topic, until } => {
                Self::operation(kind::LEFT, place, &(session, epoch, topic, until))
            }
            Op::Published { topic, to, message, cause } => {
                let header = [array(&place), array(&(topic, to, cause))].concat();
                Self::letter(kind::PUBLISHED, flag::OPERATION, &header, message)
            }
            Op::Resumed { topic } => Self::operation(kind::RESUMED, place, &(topic,)),
            Op::SessionClaimed(state) => Self::operation(kind::SESSION_CLAIMED, place, state),
            Op::SessionClosed { session, owner, reason } => {
                Self::operation(kind::SESSION_CLOSED, place, &(session, owner, reason))
            }
            Op::SessionDetached { session, epoch, why } => {
                Self::operation(kind::SESSION_DETACHED, place, &(session, epoch, u8::from(*why)))
            }
            Op::SessionReady { session } => {
                Self::operation(kind::SESSION_READY, place, &(session,))
            }
            Op::TopicClosure { topic, turn, is_closed } => {
                Self::operation(kind::TOPIC_CLOSURE, place, &(topic, turn, is_closed))
            }
            Op::Withdrawn { topic, id, from } => {
                Self::operation(kind::WITHDRAWN, place, &(topic, id, from))
            }
            Op::Unknown => Self::operation(u8::MAX, place, &((),)),
        }
    }

    /// Part `index` of its sender's snapshot `number`.
    pub fn snapshot(number: u64, index: u32, part: &SnapshotPart) -> Self {
        let place = array(&(number, index));
        let frame = |kind, header: Vec<u8>| {
            Self::assemble(kind, 0, &[place.as_slice(), &header].concat(), Bytes::new())
        };
        match part {
            SnapshotPart::Session(state) => frame(kind::SNAPSHOT_SESSION, array(state)),
            SnapshotPart::Closed { session, closed } => {
                frame(kind::SNAPSHOT_CLOSED, array(&(session, closed)))
            }
            SnapshotPart::Lost { topic, before } => {
                frame(kind::SNAPSHOT_LOST, array(&(topic, before)))
            }
            SnapshotPart::Withdrawn { topic, id, from } => {
                frame(kind::SNAPSHOT_WITHDRAWN, array(&(topic, id, from)))
            }
            SnapshotPart::Closure { topic, closure } => {
                frame(kind::SNAPSHOT_CLOSURE, array(&(topic, closure)))
            }
            SnapshotPart::End { view } => frame(kind::SNAPSHOT_END, array(&(view,))),
            SnapshotPart::Inbox { session, memory } => {
                frame(kind::SNAPSHOT_INBOX, array(&(session, memory)))
            }
            SnapshotPart::Push { session, push } => {
                let fields = array(&(session, &push.key, push.id, &push.effects));
                Self::letter(kind::SNAPSHOT_PUSH, 0, &[place, fields].concat(), &push.message)
            }
            SnapshotPart::Message { topic, entry } => {
                let fields = array(&(topic, entry.id(), entry.to(), entry.cause()));
                let header = [place, fields].concat();
                Self::letter(kind::SNAPSHOT_MESSAGE, 0, &header, entry.message())
            }
        }
    }

    /// A frame that was read as bytes, to be passed on as it is.
    ///
    /// `bytes` must be one whole frame, and `payload` how much of it is payload.
    pub(super) fn from_bytes(bytes: &Bytes, payload: usize) -> Self {
        let head = bytes.len() - payload;
        Self { head: bytes.slice(..head), payload: bytes.slice(head..) }
    }

    /// How many bytes it takes on the wire.
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// How much memory it takes while it is kept, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.len() + Self::OVERHEAD_BYTES
    }

    /// Always false: a frame has at least its prefix.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// What goes over the wire, to be looked at, in two pieces of which the second may be empty.
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.head, &self.payload]
    }

    /// What goes over the wire, in two pieces of which the second may be empty.
    pub fn into_pieces(self) -> [Bytes; 2] {
        [self.head, self.payload]
    }

    /// What goes over the wire, in one piece.
    pub fn to_bytes(&self) -> Bytes {
        [&self.head[..], &self.payload].concat().into()
    }

    fn plain(kind: u8, header: &impl Serialize) -> Self {
        Self::assemble(kind, 0, &array(header), Bytes::new())
    }

    fn operation(kind: u8, place: (NodeId, Seq), fields: &impl Serialize) -> Self {
        let header = [&array(&place)[..], &array(fields)].concat();
        Self::assemble(kind, flag::OPERATION, &header, Bytes::new())
    }

    /// A frame whose payload is a message.
    fn letter(kind: u8, flags: u8, header: &[u8], message: &Message) -> Self {
        let text = if message.is_text() { flag::TEXT } else { 0 };
        let mut header = Cow::Borrowed(header);
        if let Some(trace) = message.trace() {
            write_array(header.to_mut(), &trace);
        }
        Self::assemble(kind, flags | text, &header, message.as_bytes().clone())
    }

    pub(super) fn assemble(kind: u8, flags: u8, header: &[u8], payload: Bytes) -> Self {
        let length = PREFIX_BYTES - 4 + header.len() + payload.len();
        let mut head = BytesMut::with_capacity(PREFIX_BYTES + header.len());
        head.put_u32(u32::try_from(length).expect("every limit is far below 4 GiB"));
        head.put_u8(kind);
        head.put_u8(flags);
        head.put_u32(u32::try_from(header.len()).expect("every limit is far below 4 GiB"));
        head.put_slice(header);
        Self { head: head.freeze(), payload }
    }
}

fn array(value: &impl Serialize) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    write_array(&mut header, value);
    header
}
