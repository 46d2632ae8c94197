//! The streams of a link: what is written to them, and what is read from them.
//!
//! Every stream goes one way and begins with a byte that names its lane.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream};
use thiserror::Error;
use tokio::time::sleep_until;
use tracing::{debug, trace};

use crate::{
    id::NodeId,
    proto::{
        Lane,
        wire::{Encoded, Frame, Hello, ProtocolRange, WireError, split_frame},
    },
    runtime::Hub,
};

/// What a stream begins with if it carries one message of gossip.
pub(super) const GOSSIP: u8 = 5;

/// The priority of gossip: it tells who is alive.
pub(super) const GOSSIP_PRIORITY: i32 = 30;

/// How much is taken from the core at once, and so written at once.
const BATCH_BYTES: usize = 64 << 10;

/// Pieces shorter than this are copied together instead of being sent one by one.
const COPY_BELOW_BYTES: usize = 2 << 10;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// How many frames are handed to the core at once.
const BATCH_FRAMES: usize = 256;

/// The byte that a lane's streams begin with.
pub(super) fn code(lane: Lane) -> u8 {
    match lane {
        Lane::Control => 1,
        Lane::Progress => 2,
        Lane::Journal => 3,
        _ => 4,
    }
}

fn priority(lane: Lane) -> i32 {
    match lane {
        Lane::Control => 20,
        Lane::Progress => 10,
        Lane::Journal => 0,
        _ => -10,
    }
}

/// Opens a stream of a lane.
pub(super) async fn open(connection: &Connection, lane: Lane) -> Result<SendStream, LinkError> {
    let mut stream = connection.open_uni().await?;
    let _ = stream.set_priority(priority(lane)); // It fails only if the stream is gone.
    stream.write_all(&[code(lane)]).await?;
    Ok(stream)
}

/// Sends what the core has for `peer` on `lane`, for as long as the link is the one to send on.
pub(super) async fn send(
    hub: Arc<Hub>,
    peer: NodeId,
    connection: Connection,
    lane: Lane,
    mut stream: Option<SendStream>,
    protocol: ProtocolRange,
) -> Result<(), LinkError> {
    loop {
        let due = hub.lane(lane);
        let (frames, later) = hub.with(|core, now| {
            let frames = core.poll_transmit(peer, lane, BATCH_BYTES, now);
            (frames, core.poll_reports(peer).filter(|_| lane == Lane::Progress))
        });
        if frames.is_empty() {
            if lane == Lane::Snapshot
                && let Some(mut stream) = stream.take()
            {
                let _ = stream.finish(); // It fails only if the stream is gone.
            }
            tokio::select! {
                () = due => {}
                () = sleep_until(later.unwrap_or_else(crate::runtime::clock::far_off).into()) => {}
            }
            continue;
        }
        let frames = speak(frames, protocol);
        trace!(?lane, frames = frames.len(), "sending");
        let open_stream = match stream.take() {
            Some(stream) => stream,
            None => open(&connection, lane).await?,
        };
        let stream = stream.insert(open_stream);
        stream.write_all_chunks(&mut gather(frames)).await?;
    }
}

/// The frames as a node says them that speaks these versions: but in tests there is one only.
pub(super) fn speak(frames: Vec<Encoded>, protocol: ProtocolRange) -> Vec<Encoded> {
    #[cfg(feature = "sim")]
    return protocol.dress(frames);
    #[cfg(not(feature = "sim"))]
    {
        let _ = protocol;
        frames
    }
}

/// The bytes of frames, in as few pieces as it takes without copying what is long.
fn gather(frames: Vec<Encoded>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut small = BytesMut::new();
    for piece in frames.into_iter().flat_map(Encoded::into_pieces) {
        if piece.len() < COPY_BELOW_BYTES {
            small.extend_from_slice(&piece);
        } else {
            if !small.is_empty() {
                pieces.push(small.split().freeze());
            }
            pieces.push(piece);
        }
    }
    if !small.is_empty() {
        pieces.push(small.freeze());
    }
    pieces
}

/// Hands what comes on a stream to the core, until the stream ends.
pub(super) async fn receive(
    hub: Arc<Hub>,
    peer: NodeId,
    mut frames: Frames,
) -> Result<(), LinkError> {
    loop {
        let batch = frames.next_batch().await?;
        if batch.is_empty() {
            return Ok(());
        }
        hub.with(|core, now| {
            for frame in batch {
                core.handle_frame(peer, frame, now);
            }
        });
    }
}

/// A stream of frames.
pub(super) struct Frames {
    stream: RecvStream,
    buffer: BytesMut,
}

impl Frames {
    /// The frames of `stream`, of which the first byte has been read.
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// The greeting that a control lane begins with.
    pub(super) async fn hello(&mut self) -> Result<Hello, LinkError> {
        loop {
            match self.split()? {
                Some(Frame::Hello(hello)) => return Ok(hello),
                Some(_) => return Err(LinkError::NoHello),
                None if self.fill().await? => {}
                None => return Err(LinkError::NoHello),
            }
        }
    }

    /// All frames that are there, and at least one; none once the stream has ended.
    async fn next_batch(&mut self) -> Result<Vec<Frame>, LinkError> {
        let mut batch = Vec::new();
        loop {
            while batch.len() < BATCH_FRAMES
                && let Some(frame) = self.split()?
            {
                batch.push(frame);
            }
            if !batch.is_empty() || !self.fill().await? {
                return Ok(batch);
            }
        }
    }

    fn split(&mut self) -> Result<Option<Frame>, LinkError> {
        let bytes = split_frame(&mut self.buffer)?;
        Ok(bytes.map(|bytes| Frame::decode(&bytes)).transpose()?)
    }

    /// Reads on. False once the stream has ended.
    async fn fill(&mut self) -> Result<bool, LinkError> {
        let Some(chunk) = self.stream.read_chunk(READ_BYTES, true).await? else {
            return Ok(false);
        };
        self.buffer.extend_from_slice(&chunk.bytes);
        Ok(true)
    }
}

/// Sends one message of gossip. What cannot be sent is dropped: gossip repeats what matters.
///
/// Most of a message is addresses and large numbers that are nearly the same for every member, and it
/// is what nodes say to each other that have nothing to say: so it is compressed.
pub(super) async fn send_gossip(connection: Connection, message: Bytes) {
    let packed = zstd::bulk::compress(&message, zstd::DEFAULT_COMPRESSION_LEVEL);
    let packed = Bytes::from(packed.expect("whatever fits into memory can be compressed"));
    let sent: Result<(), LinkError> = async {
        let mut stream = connection.open_uni().await?;
        let _ = stream.set_priority(GOSSIP_PRIORITY); // It fails only if the stream is gone.
        stream.write_all(&[GOSSIP]).await?;
        stream.write_all_chunks(&mut [packed]).await?;
        let _ = stream.finish();
        Ok(())
    }
    .await;
    if let Err(error) = sent {
        debug!(%error, "gossip was not sent");
    }
}

/// Why a link ends. What was on its way is sent again over the next one.
#[derive(Debug, Error)]
pub(super) enum LinkError {
    #[error("the connection is gone")]
    Connection(#[from] quinn::ConnectionError),
    #[error("the peer does not begin with a greeting")]
    NoHello,
    #[error("the peer ended a stream")]
    Read(#[from] quinn::ReadError),
    #[error("the peer sent what is no frame")]
    Wire(#[from] WireError),
    #[error("the peer reads a stream no longer")]
    Write(#[from] quinn::WriteError),
}
