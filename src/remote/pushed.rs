//! A push on its way.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

use super::{acknowledgement::Acknowledgement, error::PushError};

/// A push on its way, which is ready once it is acknowledged.
///
/// The push does not depend on it: whoever drops it does not learn what became of the push.
#[derive(Debug)]
#[must_use = "only this tells whether the push was stored"]
pub struct Pushed(oneshot::Receiver<Result<Acknowledgement, PushError>>);

impl Pushed {
    pub(super) const fn new(
        settled: oneshot::Receiver<Result<Acknowledgement, PushError>>,
    ) -> Self {
        Self(settled)
    }
}

impl Future for Pushed {
    type Output = Result<Acknowledgement, PushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let settled = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(settled.unwrap_or(Err(PushError::Ended)))
    }
}
