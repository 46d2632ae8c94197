//! A frame, read once.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{Encoded, Header, Hello, PREFIX_BYTES, SnapshotPart, WireError, flag, kind};
use crate::{
    id::{MessageId, NodeId, PushKey, Seq, TopicName},
    message::Message,
    proto::{Entry, Mark, Op, OpenPush, Position, Post, Posted, Released, progress::Report},
};

/// What a peer says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Frame {
    /// It leaves on purpose.
    Goodbye,
    /// It has stored everything before this.
    Have(Position),
    /// It opens the link.
    Hello(Hello),
    /// An operation of a journal, its own or one that it passes on.
    Operation {
        /// Whose operation, and its number.
        id: MessageId,
        /// What it says.
        op: Op,
        /// The very bytes, to be kept and passed on.
        encoded: Encoded,
    },
    /// A client has posted something that is for who owns its session.
    Post {
        /// What the sender calls it.
        number: u64,
        /// What the client says.
        post: Post,
    },
    /// What became of something that was posted.
    Posted {
        /// What the receiver calls it.
        number: u64,
        /// What became of it.
        posted: Posted,
    },
    /// It asks for an origin's operations.
    Pull {
        /// Whose.
        origin: NodeId,
        /// From this one on.
        from: Seq,
    },
    /// What it knew of a session when another node claimed that.
    Released(Released),
    /// How far its sessions have read a topic.
    Report(Report),
    /// A part of all that it knows.
    Snapshot {
        /// Which of its sender's snapshots it is: a later one has a higher number.
        number: u64,
        /// Which part of it this is.
        index: u32,
        /// The part.
        part: SnapshotPart,
    },
    /// A frame of a later version, to be skipped.
    Unknown,
}

impl Frame {
    /// Reads one frame, which must be all that `bytes` holds.
    ///
    /// Accepts any bytes whatever: what cannot be a frame is an error, never a panic.
    ///
    /// # Errors
    ///
    /// [`WireError`] if the bytes are no frame.
    pub fn decode(bytes: &Bytes) -> Result<Self, WireError> {
        let mut prefix = bytes.get(..PREFIX_BYTES).ok_or(WireError::Malformed)?;
        let (length, kind, flags) = (prefix.get_u32() as usize, prefix.get_u8(), prefix.get_u8());
        let payload_start = (PREFIX_BYTES)
            .checked_add(prefix.get_u32() as usize)
            .filter(|&start| start <= bytes.len() && length == bytes.len() - 4)
            .ok_or(WireError::Malformed)?;
        let mut header = Header::new(&bytes[PREFIX_BYTES..payload_start]);
        let payload = bytes.slice(payload_start..);
        let text = flags & flag::TEXT != 0;
        match flags & flag::OPERATION != 0 {
            true => {
                let (origin, seq) = header.read()?;
                let encoded = Encoded::from_bytes(bytes, payload.len());
                let op = read_op(kind, &mut header, payload, text)?;
                Ok(Self::Operation { id: MessageId::new(origin, seq), op, encoded })
            }
            false => Self::read_plain(kind, &mut header, payload, text),
        }
    }

    fn read_plain(
        kind: u8,
        header: &mut Header<'_>,
        payload: Bytes,
        text: bool,
    ) -> Result<Self, WireError> {
        Ok(match kind {
            kind::HELLO => Self::Hello(header.read()?),
            kind::HAVE => Self::Have(header.read::<(Position,)>()?.0),
            kind::REPORT => Self::Report(header.read()?),
            kind::GOODBYE => Self::Goodbye,
            kind::PULL => {
                let (origin, from) = header.read()?;
                Self::Pull { origin, from }
            }
            kind::POST => {
                let (number, session, confirmed, is_done) =
                    header.read::<(_, _, Option<(_, u64)>, _)>()?;
                let confirmed = confirmed.map(|(series, mark)| (series, Mark::new(mark)));
                let pushes = read_pushes(header, payload)?;
                Self::Post {
                    number,
                    post: Post { is_done, ..Post::new(session, confirmed, pushes) },
                }
            }
            kind::POSTED => {
                let (number, stored) = header.read::<(_, Option<_>)>()?;
                Self::Posted { number, posted: stored.map_or(Posted::Later, Posted::Stored) }
            }
            kind::RELEASED => Self::Released(header.read()?),
            kind::SNAPSHOT_SESSION..=kind::SNAPSHOT_PUSH
            | kind::SNAPSHOT_WITHDRAWN
            | kind::SNAPSHOT_CLOSURE => {
                let (number, index) = header.read()?;
                let part = read_part(kind, header, payload, text)?;
                Self::Snapshot { number, index, part }
            }
            _ => Self::Unknown,
        })
    }
}

fn read_op(kind: u8, header: &mut Header<'_>, payload: Bytes, text: bool) -> Result<Op, WireError> {
    Ok(match kind {
        kind::ACCEPTED => {
            let (session, key) = header.read()?;
            Op::Accepted { session, key, message: read_last(header, payload, text)? }
        }
        kind::FOLLOWS => Op::Follows { after: header.read::<(_,)>()?.0 },
        kind::HANDLED => {
            let (session, key) = header.read()?;
            Op::Handled { session, key }
        }
        kind::DEPARTED => {
            let (session, topic, left) = header.read()?;
            Op::Departed { session, topic, left }
        }
        kind::JOINED => {
            let (session, epoch, topic, from) = header.read()?;
            Op::Joined { session, epoch, topic, from }
        }
        kind::LEFT => {
            let (session, epoch, topic, until) = header.read()?;
            Op::Left { session, epoch, topic, until }
        }
        kind::PUBLISHED => {
            let (topic, to, cause) = header.read()?;
            Op::Published { topic, to, message: read_last(header, payload, text)?, cause }
        }
        kind::SESSION_CLAIMED => Op::SessionClaimed(header.read()?),
        kind::SESSION_CLOSED => {
            let (session, owner, reason) = header.read()?;
            Op::SessionClosed { session, owner, reason }
        }
        kind::SESSION_DETACHED => {
            let (session, epoch, why) = header.read::<(_, _, u8)>()?;
            Op::SessionDetached { session, epoch, why: why.into() }
        }
        kind::RESUMED => Op::Resumed { topic: header.read::<(_,)>()?.0 },
        kind::TOPIC_CLOSURE => {
            let (topic, turn, is_closed) = header.read()?;
            Op::TopicClosure { topic, turn, is_closed }
        }
        kind::WITHDRAWN => {
            let (topic, id, from) = header.read()?;
            Op::Withdrawn { topic, id, from }
        }
        kind::SESSION_READY => Op::SessionReady { session: header.read::<(_,)>()?.0 },
        _ => Op::Unknown,
    })
}

fn read_part(
    kind: u8,
    header: &mut Header<'_>,
    payload: Bytes,
    text: bool,
) -> Result<SnapshotPart, WireError> {
    Ok(match kind {
        kind::SNAPSHOT_SESSION => SnapshotPart::Session(header.read()?),
        kind::SNAPSHOT_CLOSED => {
            let (session, closed) = header.read()?;
            SnapshotPart::Closed { session, closed }
        }
        kind::SNAPSHOT_LOST => {
            let (topic, before) = header.read()?;
            SnapshotPart::Lost { topic, before }
        }
        kind::SNAPSHOT_WITHDRAWN => {
            let (topic, id, from) = header.read()?;
            SnapshotPart::Withdrawn { topic, id, from }
        }
        kind::SNAPSHOT_CLOSURE => {
            let (topic, closure) = header.read()?;
            SnapshotPart::Closure { topic, closure }
        }
        kind::SNAPSHOT_END => SnapshotPart::End { view: header.read::<(_,)>()?.0 },
        kind::SNAPSHOT_INBOX => {
            let (session, memory) = header.read()?;
            SnapshotPart::Inbox { session, memory }
        }
        kind::SNAPSHOT_PUSH => {
            let (session, key, id, effects) = header.read()?;
            let mut push = OpenPush::new(key, id, read_last(header, payload, text)?);
            push.effects = effects;
            SnapshotPart::Push { session, push }
        }
        _ => {
            let (topic, id, to, cause) = header.read::<(TopicName, _, _, _)>()?;
            let entry = Entry::new(id, topic.clone(), to, read_last(header, payload, text)?);
            let entry = Arc::new(entry.caused_by(cause));
            SnapshotPart::Message { topic, entry }
        }
    })
}

/// The pushes of a post, whose messages are the payload, one after another.
fn read_pushes(
    header: &mut Header<'_>,
    mut payload: Bytes,
) -> Result<Vec<(PushKey, Message)>, WireError> {
    let pushes =
        header.read::<Vec<(PushKey, bool, usize)>>()?.into_iter().map(|(key, text, len)| {
            let is_there = len <= payload.len();
            let message = is_there.then(|| payload.split_to(len)).ok_or(WireError::Malformed)?;
            Ok((key, read_message(message, text)?))
        });
    let pushes = pushes.collect::<Result<_, _>>()?;
    if payload.is_empty() { Ok(pushes) } else { Err(WireError::Malformed) }
}

/// The message that is all of the payload, once the rest of the header is read but for its trace.
fn read_last(header: &mut Header<'_>, payload: Bytes, text: bool) -> Result<Message, WireError> {
    let message = read_message(payload, text)?;
    Ok(match header.read_trace() {
        Some(trace) => message.traced(trace),
        None => message,
    })
}

fn read_message(payload: Bytes, text: bool) -> Result<Message, WireError> {
    match text {
        true => Message::from_utf8(payload).map_err(|_| WireError::Malformed),
        false => Ok(Message::binary(payload)),
    }
}
