//! The body of an answer that is known when the answer is made.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a node's answer: one piece, or nothing.
#[derive(Debug, Default)]
pub struct Body(Rest);

/// What is still to be sent.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    Empty,
    Whole(Bytes),
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
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match mem::take(&mut self.0) {
            Rest::Empty => Poll::Ready(None),
            Rest::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Rest::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Rest::Empty => 0,
            Rest::Whole(bytes) => bytes.len() as u64,
        })
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
