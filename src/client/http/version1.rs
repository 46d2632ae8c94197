//! A connection that speaks HTTP/1.1: hyper's between answers, and ours while one goes on.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::http1::{self, Parts, UpgradeableConnection},
    service::{HttpService, Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{
    Limits, Served,
    chunks::Chunks,
    drive,
    loan::{Desk, Lending, Loan, can_lend, can_lend_to, is_kept},
    watched::Watched,
};
use crate::runtime::Tasks;

/// The least that hyper's buffers may be limited to, in bytes.
const MIN_BUFFER_BYTES: usize = 8192;

/// Serves a connection to its end. `None` if that took too long once the node shut down.
pub(super) async fn serve<IO, S, B>(
    stream: IO,
    service: S,
    tasks: &Tasks,
    limits: Limits,
) -> Option<Served>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let desk = Arc::new(Desk::new());
    let mut service = lending(service, Arc::clone(&desk));
    let (mut stream, mut unread) = (stream, Bytes::new());
    loop {
        let io = TokioIo::new(Watched::new(stream, unread, Arc::clone(&desk.is_flushed)));
        let connection = builder(limits).serve_connection(io, service).with_upgrades();
        // On the heap, as it takes far more than what follows, which may go on for long.
        let (parts, loan) = match Box::pin(converse(connection, &desk, tasks, limits)).await? {
            Ok(Some(lent)) => lent,
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
        };
        let (io, ahead) = parts.io.into_inner().into_parts(parts.read_buf);
        service = parts.service;
        let mut chunks = Chunks::new(io, ahead, loan.body);
        let writing = poll_fn(|cx| chunks.poll_write(cx).map_err(Into::into));
        if let Err(error) = drive(Pin::new(&mut { writing }), |_| {}, tasks, limits).await? {
            return Some(Err(error));
        }
        (stream, unread) = chunks.into_parts();
        if !loan.is_kept || tasks.is_cancelled() {
            let ended =
                tokio::time::timeout(limits.shutdown_patience, stream.shutdown()).await.ok()?;
            return Some(ended.map_err(Into::into));
        }
    }
}

/// Puts the answers that can be lent on the desk.
fn lending<S, B>(
    service: S,
    desk: Arc<Desk<B>>,
) -> impl HttpService<Incoming, ResBody = Lending<B>, Error = Infallible, Future: Send> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    service_fn(move |request: Request<Incoming>| {
        let (may_ask, is_kept_by_client) = (can_lend_to(&request), is_kept(request.headers()));
        let (answer, desk) = (service.call(request), Arc::clone(&desk));
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(if may_ask && can_lend(&response) {
                let is_kept = is_kept_by_client && is_kept(response.headers());
                response.map(|body| Lending::lent(body, is_kept, desk))
            } else {
                response.map(Lending::whole)
            })
        }
    })
}

/// Requests and answers, until the connection is over or an answer is lent.
async fn converse<IO, S, B>(
    connection: UpgradeableConnection<TokioIo<Watched<IO>>, S>,
    desk: &Desk<B>,
    tasks: &Tasks,
    limits: Limits,
) -> Option<
    Result<Option<(Parts<TokioIo<Watched<IO>>, S>, Loan<B>)>, Box<dyn StdError + Send + Sync>>,
>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Lending<B>, Error = Infallible>,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let mut conversation = Conversation { connection, desk };
    let driven = drive(Pin::new(&mut conversation), Conversation::end, tasks, limits).await?;
    Some(driven.map(|loan| conversation.connection.into_parts().zip(loan)))
}

/// Ends as the connection does, or with a loan.
struct Conversation<'a, C, B> {
    connection: C,
    desk: &'a Desk<B>,
}

impl<IO, S, B> Conversation<'_, UpgradeableConnection<TokioIo<Watched<IO>>, S>, B>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Lending<B>, Error = Infallible>,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    /// Takes no further request.
    fn end(self: Pin<&mut Self>) {
        Pin::new(&mut self.get_mut().connection).graceful_shutdown();
    }
}

impl<C, B> Future for Conversation<'_, C, B>
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    type Output = Result<Option<Loan<B>>, Box<dyn StdError + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.connection).poll(cx) {
            Poll::Ready(served) => Poll::Ready(served.map(|()| None).map_err(Into::into)),
            Poll::Pending => match self.desk.take() {
                Some(loan) => Poll::Ready(Ok(Some(loan))),
                None => Poll::Pending,
            },
        }
    }
}

fn builder(limits: Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_patience)
        .max_headers(limits.headers)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(MIN_BUFFER_BYTES));
    builder
}
