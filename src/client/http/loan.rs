//! Answers that go on are written without what hyper keeps for requests.
//!
//! hyper holds two buffers of 8 KiB for each connection, whatever it waits for. So it writes the head
//! of an answer that [`GoesOn`], and then lends the rest: the body is put on the connection's desk,
//! and who drives the connection takes both from hyper ([`Loan`]). A client that asks again by the
//! same connection is hyper's again.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use http::{HeaderMap, Method, Request, Response, Version, header};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// Marks an answer, among its extensions, as one that may go on for long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GoesOn;

/// Where the body of an answer is put to be lent, one for each connection.
#[derive(Debug)]
pub(super) struct Desk<B> {
    loan: Mutex<Option<Loan<B>>>,
    /// Whether hyper has written all that it had.
    pub(super) is_flushed: Arc<AtomicBool>,
}

/// The rest of an answer, which is to be written in chunks.
#[derive(Debug)]
pub(super) struct Loan<B> {
    pub(super) body: B,
    /// Whether the client may ask again by this connection.
    pub(super) is_kept: bool,
}

impl<B> Desk<B> {
    pub(super) fn new() -> Self {
        Self { loan: Mutex::new(None), is_flushed: Arc::default() }
    }

    /// What is lent, once hyper has written what comes before.
    pub(super) fn take(&self) -> Option<Loan<B>> {
        self.is_flushed.load(Ordering::Relaxed).then(|| self.loan.lock().take()).flatten()
    }
}

/// The body of an answer, which is lent if it may be.
#[derive(Debug)]
pub(super) struct Lending<B> {
    loan: Option<Loan<B>>,
    desk: Option<Arc<Desk<B>>>,
}

impl<B> Lending<B> {
    /// A body that hyper writes.
    pub(super) fn whole(body: B) -> Self {
        Self { loan: Some(Loan { body, is_kept: true }), desk: None }
    }

    /// A body that hyper lends.
    pub(super) fn lent(body: B, is_kept: bool, desk: Arc<Desk<B>>) -> Self {
        Self { loan: Some(Loan { body, is_kept }), desk: Some(desk) }
    }
}

impl<B: Body + Unpin> Body for Lending<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        match (&this.desk, &mut this.loan) {
            (None, Some(loan)) => Pin::new(&mut loan.body).poll_frame(cx),
            // Whoever drives the connection looks at the desk after each poll, so nobody is woken.
            (Some(desk), loan @ Some(_)) => {
                *desk.loan.lock() = loan.take();
                Poll::Pending
            }
            (_, None) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match (&self.desk, &self.loan) {
            (None, Some(loan)) => loan.body.is_end_stream(),
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.desk, &self.loan) {
            (None, Some(loan)) => loan.body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

/// Whether the rest of this answer can be lent: it goes on, and an application around the node has not
/// made another of it, so that hyper announces chunks.
pub(super) fn can_lend<B>(response: &Response<B>) -> bool {
    let has = |name| response.headers().contains_key(name);
    response.extensions().get::<GoesOn>().is_some()
        && response.version() == Version::HTTP_11
        && !has(header::CONTENT_LENGTH)
        && !has(header::TRANSFER_ENCODING)
}

/// Whether the rest of an answer to this can be lent: only then may it be in chunks, and hyper waits
/// for nothing more of the request.
pub(super) fn can_lend_to<B: Body>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && *request.method() == Method::GET
        && request.body().is_end_stream()
}

/// Whether a client that speaks HTTP/1.1 will use its connection again.
pub(crate) fn is_kept(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    !values
        .any(|value| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("close")))
}
