//! The body of an answer to a gRPC client, which ends with the node.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use parking_lot::Mutex;
use tonic::{Status, body::Body};

use super::desk;
use crate::runtime::Tasks;

/// The body of an answer. A call that is under way when the node shuts down ends with a status that
/// tells its client to go elsewhere.
pub(in crate::client) struct Answer {
    /// Locked by nobody: it is there so that several threads may know of the answer.
    body: Mutex<Body>,
    ended: Mutex<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_over: bool,
}

impl Answer {
    pub(super) fn new(body: Body, tasks: Tasks) -> Self {
        let ended = Box::pin(async move { tasks.cancelled().await });
        Self { body: Mutex::new(body), ended: Mutex::new(ended), is_over: false }
    }

    /// The next piece, or how the call ended; then `None`.
    pub(in crate::client) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Frame<Bytes>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match Pin::new(self.body.get_mut()).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(frame)),
            Poll::Ready(Some(Err(status))) => self.end(&status),
            Poll::Ready(None) => {
                self.is_over = true;
                Poll::Ready(None)
            }
            Poll::Pending => match self.ended.get_mut().as_mut().poll(cx) {
                Poll::Ready(()) => self.end(&desk::shutting_down()),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Whether there is nothing but the head.
    pub(in crate::client) fn is_end_stream(&self) -> bool {
        self.is_over || self.body.lock().is_end_stream()
    }

    fn end(&mut self, status: &Status) -> Poll<Option<Frame<Bytes>>> {
        self.is_over = true;
        // What is told beside the code may be no header; the code always is one.
        let mut trailers = HeaderMap::new();
        let _ = status.add_header(&mut trailers);
        Poll::Ready(Some(Frame::trailers(trailers)))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
