//! One connection to a peer: greeting, reading, and writing for as long as it is the one to send on.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tracing::debug;

use super::{
    gossip::{self, Gossip, MAX_MESSAGE_BYTES},
    identity::{PeerIdentityError, check_peer},
    lanes::{self, Frames, LinkError},
    membership::Membership,
    node_key::{self, Binding},
    questions::Questions,
    warnings::{Offence, Warnings},
};
use crate::{
    id::NodeId,
    proto::{
        Lane,
        wire::{Encoded, Hello, ProtocolRange, Refusal},
    },
    runtime::Hub,
};

/// How long a peer may take to say hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// The code that connections are closed with by a node that leaves.
pub(super) const LEFT: u32 = 0x10;

/// The code that a connection is closed with when the peer says what is no frame.
const MALFORMED: u32 = 0x30;

/// The code that a connection is closed with when the peer is certified for something else.
const NO_IDENTITY: u32 = 0x22;

/// A connection on which both have said hello.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) connection: Connection,
    /// What the peer said.
    pub(super) hello: Hello,
    /// Whether this node opened the connection.
    pub(super) dialed: bool,
    control_out: SendStream,
    control_in: FramesDebug,
}

/// Says hello, and waits for the peer to.
pub(super) async fn greet(
    connection: Connection,
    own: Hello,
    cluster: &str,
    dialed: bool,
) -> Result<Greeted, GreetError> {
    check_peer(&connection, cluster).inspect_err(|_| {
        connection.close(NO_IDENTITY.into(), b"no node");
    })?;
    let greeting = exchange(&connection, &own);
    let greeting = tokio::time::timeout(HELLO_PATIENCE, greeting).await;
    let greeting = greeting.map_or(Err(GreetError::Silent), |said| Ok(said?));
    let (control_out, control_in, hello) = greeting.inspect_err(|error| {
        if !matches!(error, GreetError::Link(LinkError::Connection(_))) {
            connection.close(MALFORMED.into(), b"no hello");
        }
    })?;
    let proven = node_key::verify(&hello.proof, &Binding::of(&connection, !dialed));
    if let Err(refusal) = own.meet(&hello, proven) {
        connection.close(refusal.code().into(), refusal.to_string().as_bytes());
        return Err(refusal.into());
    }
    let control_in = FramesDebug(control_in);
    Ok(Greeted { connection, hello, dialed, control_out, control_in })
}

async fn exchange(
    connection: &Connection,
    own: &Hello,
) -> Result<(SendStream, Frames, Hello), LinkError> {
    let mut control_out = lanes::open(connection, Lane::Control).await?;
    for frame in lanes::speak(vec![Encoded::hello(own)], own.protocol) {
        control_out.write_all(&frame.to_bytes()).await?;
    }
    let mut stream = connection.accept_uni().await?;
    if read_code(&mut stream).await? != Some(lanes::code(Lane::Control)) {
        return Err(LinkError::NoHello);
    }
    let mut control_in = Frames::new(stream);
    let hello = control_in.hello().await?;
    Ok((control_out, control_in, hello))
}

/// Serves a connection until it is gone. Returns whether the peer said that it leaves.
pub(super) async fn run(
    greeted: Greeted,
    hub: Arc<Hub>,
    gossip: Arc<Gossip>,
    questions: Arc<Questions>,
    warnings: Arc<Warnings>,
    mut sending: watch::Receiver<usize>,
    protocol: ProtocolRange,
) -> bool {
    let Greeted { connection, hello, control_out, control_in, .. } = greeted;
    let peer = hello.node;
    let mut readers = JoinSet::new();
    let mut writers = JoinSet::new();
    let mut control_out = Some(control_out);
    readers.spawn(lanes::receive(Arc::clone(&hub), peer, control_in.0));
    let mut is_sending = false;
    loop {
        let should_send = *sending.borrow_and_update() == connection.stable_id();
        if should_send && !is_sending {
            for lane in Lane::ALL {
                let stream = if lane == Lane::Control { control_out.take() } else { None };
                let (hub, connection) = (Arc::clone(&hub), connection.clone());
                writers.spawn(lanes::send(hub, peer, connection, lane, stream, protocol));
            }
        } else if is_sending && !should_send {
            writers.abort_all();
        }
        is_sending = should_send;
        tokio::select! {
            biased;
            () = hub.tasks().cancelled() => {
                connection.close(LEFT.into(), b"left");
                return false;
            }
            reason = connection.closed() => {
                debug!(%reason, "connection closed");
                return matches!(reason, ConnectionError::ApplicationClosed(close)
                    if close.error_code == LEFT.into());
            }
            changed = sending.changed() => if changed.is_err() { return false },
            Some(ended) = readers.join_next() => handle_end(&connection, ended, &warnings),
            Some(ended) = writers.join_next() => {
                if let Ok(Err(error)) = &ended {
                    debug!(%error, "a lane ended; its link is closed");
                    connection.close(MALFORMED.into(), b"a lane ended");
                }
                handle_end(&connection, ended, &warnings);
            }
            Ok(stream) = connection.accept_bi() => {
                let questions = Arc::clone(&questions);
                readers.spawn(async move {
                    questions.answer(peer, stream).await;
                    Ok(())
                });
            },
            accepted = connection.accept_uni() => if let Ok(stream) = accepted {
                let from = (peer, hello.addr);
                let (hub, gossip) = (Arc::clone(&hub), Arc::clone(&gossip));
                readers.spawn(read(hub, gossip, Arc::clone(&warnings), from, stream));
            },
        }
    }
}

/// Reads one stream to its end.
async fn read(
    hub: Arc<Hub>,
    gossip: Arc<Gossip>,
    warnings: Arc<Warnings>,
    (peer, addr): (NodeId, std::net::SocketAddr),
    mut stream: RecvStream,
) -> Result<(), LinkError> {
    match read_code(&mut stream).await? {
        Some(lanes::GOSSIP) => {
            let read = read_gossip(&mut stream).await?;
            match read.and_then(|message| gossip.handle(addr, peer, message)) {
                Ok(()) => {}
                Err(gossip::Refusal::Busy) => debug!("too much gossip at once"),
                Err(refusal) => warnings.note(Offence::Gossip, peer.short(), refusal),
            }
            Ok(())
        }
        Some(code) if Lane::ALL.iter().any(|&lane| lanes::code(lane) == code) => {
            lanes::receive(hub, peer, Frames::new(stream)).await
        }
        _ => Ok(()), // A lane of a later version.
    }
}

/// Reads the rest of a stream, in order, which is one message, compressed.
///
/// Not by `read_to_end`, which takes what comes in any order. Where a first byte was read in order,
/// and its packet was lost and came again in a longer one, it gets that byte twice, and never
/// the end.
async fn read_gossip(stream: &mut RecvStream) -> Result<Result<Bytes, gossip::Refusal>, LinkError> {
    let mut packed = BytesMut::new();
    while let Some(chunk) = stream.read_chunk(MAX_MESSAGE_BYTES, true).await? {
        packed.extend_from_slice(&chunk.bytes);
        if packed.len() > MAX_MESSAGE_BYTES {
            return Ok(Err(gossip::Refusal::TooLong));
        }
    }
    let message = zstd::bulk::decompress(&packed, MAX_MESSAGE_BYTES);
    Ok(message.map(Bytes::from).map_err(|_| gossip::Refusal::Malformed))
}

async fn read_code(stream: &mut RecvStream) -> Result<Option<u8>, LinkError> {
    let mut code = [0];
    Ok(stream.read(&mut code).await?.map(|_| code[0]))
}

fn handle_end(
    connection: &Connection,
    ended: Result<Result<(), LinkError>, tokio::task::JoinError>,
    warnings: &Warnings,
) {
    match ended {
        Ok(Err(error @ (LinkError::Wire(_) | LinkError::NoHello))) => {
            warnings.note(Offence::Frame, connection.remote_address(), error);
            connection.close(MALFORMED.into(), b"malformed");
        }
        Ok(Err(error)) => debug!(%error, "a stream broke off"),
        Ok(Ok(())) => {}
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "a link failed; it is closed");
            connection.close(MALFORMED.into(), b"failed");
        }
        Err(_) => {}
    }
}

/// A stream of frames, which has nothing to show.
pub(super) struct FramesDebug(Frames);

impl std::fmt::Debug for FramesDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Frames")
    }
}

/// Why a link was not begun. Nothing of the peer's was taken over.
#[derive(Debug, Error)]
pub(super) enum GreetError {
    #[error(transparent)]
    Identity(#[from] PeerIdentityError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the peer says nothing")]
    Silent,
}

impl GreetError {
    /// Whether the peer has done something wrong, and not only gone, or dialed itself.
    pub(super) fn is_offence(&self) -> bool {
        match self {
            Self::Identity(_) | Self::Silent => true,
            Self::Link(error) => matches!(error, LinkError::Wire(_) | LinkError::NoHello),
            Self::Refused(refusal) => *refusal != Refusal::Oneself,
        }
    }
}

#[cfg(test)]
mod tests;
