//! The body of a request, received whole.

use std::{error::Error as StdError, pin::pin, time::Duration};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;
use thiserror::Error;

/// Receives all of `body`, unless that is more than `limit_bytes` or takes longer than `patience`.
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
) -> Result<Bytes, ReceiveError>
where
    B: Body<Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    let receiving = receive_slowly(body, limit_bytes);
    tokio::time::timeout(patience, receiving).await.unwrap_or(Err(ReceiveError::TooSlow(patience)))
}

async fn receive_slowly<B>(body: B, limit_bytes: usize) -> Result<Bytes, ReceiveError>
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
        return Ok(Bytes::copy_from_slice(&first));
    }
    rest.shrink_to_fit();
    Ok(Bytes::from(rest))
}

/// The body of a request did not come whole. Nothing was done with it.
#[derive(Debug, Error)]
pub(crate) enum ReceiveError {
    /// It has more than this many bytes. Sending it again does not help.
    #[error("the body is longer than {0} bytes; sending it again does not help")]
    TooBig(usize),
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
}
