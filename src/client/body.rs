//! The body of an answer.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

#[cfg(feature = "grpc")]
use super::grpc::Answer;
use super::{long_poll::LongPoll, stream::Stream};

/// The body of a node's answer: one piece, nothing, or what a session is sent as it comes.
///
/// Dropping it before its end is how the client's connection being gone is known.
#[derive(Debug, Default)]
pub struct Body(Rest);

/// What is still to be sent.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    Empty,
    Whole(Bytes),
    Poll(Box<LongPoll>),
    Stream(Box<Stream>),
    #[cfg(feature = "grpc")]
    Grpc(Box<Answer>),
}

#[cfg(feature = "grpc")]
impl From<Answer> for Body {
    fn from(answer: Answer) -> Self {
        Self(Rest::Grpc(Box::new(answer)))
    }
}

impl From<LongPoll> for Body {
    fn from(poll: LongPoll) -> Self {
        Self(Rest::Poll(Box::new(poll)))
    }
}

impl From<Stream> for Body {
    fn from(stream: Stream) -> Self {
        Self(Rest::Stream(Box::new(stream)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        match bytes.is_empty() {
            true => Self(Rest::Empty),
            false => Self(Rest::Whole(bytes)),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut self.0 {
            Rest::Empty => None,
            Rest::Whole(bytes) => {
                let bytes = mem::take(bytes);
                self.0 = Rest::Empty;
                Some(bytes)
            }
            Rest::Poll(poll) => ready!(poll.poll_piece(cx)),
            Rest::Stream(stream) => ready!(stream.poll_piece(cx)),
            #[cfg(feature = "grpc")]
            Rest::Grpc(answer) => return answer.poll_frame(cx).map(|frame| frame.map(Ok)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Rest::Empty => true,
            Rest::Whole(_) | Rest::Poll(_) | Rest::Stream(_) => false,
            #[cfg(feature = "grpc")]
            Rest::Grpc(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Rest::Empty => SizeHint::with_exact(0),
            Rest::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Rest::Poll(poll) if poll.is_answered() => SizeHint::with_exact(0),
            Rest::Poll(_) | Rest::Stream(_) => SizeHint::default(),
            #[cfg(feature = "grpc")]
            Rest::Grpc(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_is_what_it_was_made_of() {
        let body = Body::from(Bytes::from_static(b"hi"));
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hi");
        let empty = Body::from(Bytes::new());
        assert!(empty.is_end_stream());
        assert_eq!(empty.collect().await.unwrap().to_bytes(), "");
    }
}
