//! The body of a request, received whole.

use std::{error::Error as StdError, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;

use super::Room;

/// The room for all bodies that a node holds at a time. Cheap to clone: a clone is the same room.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(Room);

impl Bodies {
    /// Room for so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Room::new(bytes))
    }

    /// Room for so many bytes from now on.
    pub(crate) fn resize(&self, bytes: usize) {
        self.0.resize(bytes);
    }

    /// Nothing yet, of which more is held as it comes.
    fn begin(&self) -> Held {
        Held { taken: None, room: self.0.clone() }
    }
}

/// The room that a body takes, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    taken: Option<OwnedSemaphorePermit>,
    room: Room,
}

impl Held {
    fn add(&mut self, bytes: usize) -> Result<(), ReceiveError> {
        let bytes = u32::try_from(bytes).map_err(|_| ReceiveError::NoRoom)?;
        let more = self.room.take(bytes).ok_or(ReceiveError::NoRoom)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// A body that came whole, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) body: Bytes,
    pub(crate) held: Held,
}

/// Receives all of `body`, unless that is more than `limit_bytes`, takes longer than `patience`, or
/// there is no room for it. Who only says that much is to come takes no room.
///
/// # Errors
///
/// [`ReceiveError`] says why there is no whole body.
///
/// # Cancel safety
///
/// Not cancel safe: what was received is lost.
pub(crate) async fn receive<B>(
    body: B,
    limit_bytes: usize,
    patience: Duration,
    bodies: &Bodies,
) -> Result<Posted, ReceiveError>
where
    B: Body<Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    let receiving = receive_slowly(body, limit_bytes, bodies.begin());
    tokio::time::timeout(patience, receiving).await.unwrap_or(Err(ReceiveError::TooSlow(patience)))
}

async fn receive_slowly<B>(
    body: B,
    limit_bytes: usize,
    mut held: Held,
) -> Result<Posted, ReceiveError>
where
    B: Body<Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    let mut body = pin!(body);
    // What is announced to be too big is refused before any of it comes.
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(ReceiveError::TooBig(limit_bytes));
    }
    let (mut first, mut rest) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ReceiveError::Broken(error.into()))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.remaining() > limit_bytes {
            return Err(ReceiveError::TooBig(limit_bytes));
        }
        held.add(data.remaining())?;
        if first.is_empty() && rest.is_empty() {
            first = data.copy_to_bytes(data.remaining());
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            rest.extend_from_slice(chunk);
            data.advance(chunk.len());
        }
    }
    if rest.is_empty() {
        // A copy, because a piece may be a small part of a buffer that it would keep alive.
        return Ok(Posted { body: Bytes::copy_from_slice(&first), held });
    }
    rest.shrink_to_fit();
    Ok(Posted { body: Bytes::from(rest), held })
}

/// The body of a request did not come whole. Nothing was done with it.
#[derive(Debug, Error)]
pub(crate) enum ReceiveError {
    /// It has more than this many bytes. Sending it again does not help.
    #[error("the body is longer than {0} bytes; sending it again does not help")]
    TooBig(usize),
    /// There is no room for it, as many others are being posted. Waiting helps.
    #[error("as much is being posted as may be at a time; waiting helps")]
    NoRoom,
    /// It did not come in time. Sending it again may help.
    #[error("the body did not come within {0:?}; sending it again may help")]
    TooSlow(Duration),
    /// The connection broke. Sending it again may help.
    #[error("the body ended before its time; sending it again may help")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
}

impl ReceiveError {
    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooBig(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn receive<B>(
        body: B,
        limit_bytes: usize,
        patience: Duration,
    ) -> Result<Bytes, ReceiveError>
    where
        B: Body<Error: Into<Box<dyn StdError + Send + Sync>>>,
    {
        super::receive(body, limit_bytes, patience, &Bodies::new(100)).await.map(|it| it.body)
    }

    fn pieces(pieces: &[&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + use<> {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_received_whole() {
        for body in [&["", "ab", "", "cd", "e"][..], &["abcde"], &["abcd", "e"]] {
            assert_eq!(receive(pieces(body), 5, PATIENCE).await.unwrap(), "abcde");
        }
        assert_eq!(receive(pieces(&[]), 0, PATIENCE).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_that_is_too_big_is_refused() {
        let too_big = |received| matches!(received, Err(ReceiveError::TooBig(5)));
        assert!(too_big(receive(Full::new(Bytes::from_static(b"abcdef")), 5, PATIENCE).await));
        assert!(too_big(receive(pieces(&["abc", "def"]), 5, PATIENCE).await));
        assert!(too_big(receive(pieces(&["abcdef"]), 5, PATIENCE).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let received = receive(endless, 5, PATIENCE).await;
        assert_eq!(received.unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
    }

    /// Goal: what is held of all bodies together is bounded, and free again once they are done with.
    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused_until_there_is() {
        let bodies = Bodies::new(5);
        let receive = |body: &[&'static str]| super::receive(pieces(body), 5, PATIENCE, &bodies);
        let first = receive(&["ab", "c"]).await.unwrap();
        let refused = receive(&["ab", "c"]).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let second = receive(&["ab"]).await.unwrap();
        assert!(matches!(receive(&["a"]).await, Err(ReceiveError::NoRoom)));
        assert_eq!(receive(&[]).await.unwrap().body, "");
        drop((first, second));
        assert_eq!(receive(&["abc", "de"]).await.unwrap().body, "abcde");
        let too_big = receive(&["abc", "def"]).await;
        assert!(matches!(too_big, Err(ReceiveError::TooBig(5))));
        assert_eq!(receive(&["abcde"]).await.unwrap().body, "abcde");
    }
}
