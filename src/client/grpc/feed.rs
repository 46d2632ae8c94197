//! A call of `Subscribe`: one topic, and what is published to it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use tonic::Status;

use super::{desk, subscription::Subscription};

/// What one topic has for a client, which is told first that it has subscribed.
pub(super) struct Feed {
    /// `None` once it is over.
    subscription: Option<Subscription>,
    out: VecDeque<Bytes>,
}

impl Feed {
    pub(super) fn new(subscription: Subscription) -> Self {
        let out = VecDeque::from([subscription.ack()]);
        Self { subscription: Some(subscription), out }
    }
}

impl Stream for Feed {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { subscription, out } = &mut *self;
        let Some(open) = subscription else { return Poll::Ready(None) };
        if out.is_empty()
            && let Poll::Ready(close) = open.poll(out, cx)
        {
            *subscription = None;
            return Poll::Ready(Some(Err(desk::status_of(&close))));
        }
        match out.pop_front() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => Poll::Pending,
        }
    }
}
