//! What an application does when something happens to a session.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{Request, Response};

use crate::{
    message::Message,
    proto::{Close, CloseCode, CloseReason, Gap},
    runtime::Call,
    session::Session,
    topic::{JoinError, PublishError},
};

/// An application's side of its sessions.
///
/// Calls for one session come one at a time, in the order things happened. Calls for different
/// sessions run at the same time. A slow call therefore holds up its own client and nobody else.
///
/// Write the methods as `async fn`; the signatures here only add that their futures are [`Send`].
/// A closure will do for a handler that has only [`message`](Self::message) to say.
///
/// ```
/// use exosphere::{Close, Handler, Message, Session};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
///         session.send(message).await?;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle sessions",
    note = "implement `Handler`, or pass an `async fn(Session, Message) -> Result<(), Close>`"
)]
pub trait Handler: Send + Sync + 'static {
    /// A session begins. Called before any other method, and once: again only if the node died
    /// before this had returned.
    ///
    /// Unless you write it otherwise, the session joins the topic that is called like its path.
    ///
    /// # Errors
    ///
    /// An error ends the session. Whether the client then comes back is up to its code.
    fn ready(&self, session: &Session) -> impl Future<Output = Result<(), Close>> + Send {
        async { Ok(session.join(session.path().as_str()).await?) }
    }

    /// The client sent a message.
    ///
    /// A client that posts without having a session has one for this call alone: it can publish,
    /// but neither join nor be sent anything.
    ///
    /// # Errors
    ///
    /// An error ends the session. Whether the client then comes back is up to its code.
    fn message(
        &self,
        session: &Session,
        message: Message,
    ) -> impl Future<Output = Result<(), Close>> + Send;

    /// A request to the route's path that no client connects by: a GET without a transport, a POST
    /// before it is taken for a message, a PUT, a DELETE, or whatever else.
    ///
    /// `session` is that of the client if the request names one, or else one for this call alone. The
    /// body is whole, and has at most 1 MiB. Unlike the others, these calls are not in turn.
    ///
    /// Unless you write it otherwise, or where you return `None`, a GET is answered by nothing, a POST
    /// is a [`message`](Self::message), and the rest is refused by 405.
    fn request(
        &self,
        session: &Session,
        request: Request<Bytes>,
    ) -> impl Future<Output = Option<Response<Bytes>>> + Send {
        let _ = (session, request);
        async { None }
    }

    /// The client is back, after its connection was gone or on a newer one. What it missed is on its
    /// way to it.
    ///
    /// A client that polls is there between two polls, too, and back only if it was away for longer.
    fn resumed(&self, session: &Session) -> impl Future<Output = ()> + Send {
        let _ = session;
        async {}
    }

    /// The client has shown that it is there, though it had nothing to say.
    fn heartbeat(&self, session: &Session) -> impl Future<Output = ()> + Send {
        let _ = session;
        async {}
    }

    /// The client will not get some messages, because a topic's limit was reached.
    ///
    /// Gaps of a topic that come before a call returns are told as one, which may span messages that
    /// the client did get.
    fn gap(&self, session: &Session, gap: &Gap) -> impl Future<Output = ()> + Send {
        let _ = (session, gap);
        async {}
    }

    /// The session is over, and why. Called after every other method, once, on one node of the cluster.
    ///
    /// A client that was gone and did not come back in time is told as
    /// [`Abandoned`](CloseReason::Abandoned), with why it was gone: it left, was lost, or its node died
    /// or shut down.
    ///
    /// Not called if the last node dies, so nothing that must happen may wait for it.
    fn disconnect(
        &self,
        session: &Session,
        reason: CloseReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (session, reason);
        async {}
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Session, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Close>> + Send,
{
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        self(session.clone(), message).await
    }
}

/// A handler of whatever type.
pub(crate) trait AnyHandler: Send + Sync {
    fn request<'a>(
        &'a self,
        session: &'a Session,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send + 'a>>;

    fn call<'a>(
        &'a self,
        session: &'a Session,
        call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + 'a>>;
}

impl<H: Handler> AnyHandler for H {
    fn request<'a>(
        &'a self,
        session: &'a Session,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send + 'a>> {
        Box::pin(Handler::request(self, session, request))
    }

    fn call<'a>(
        &'a self,
        session: &'a Session,
        call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + 'a>> {
        Box::pin(async move {
            match call {
                Call::Ready => return self.ready(session).await,
                Call::Message(message) => return self.message(session, message).await,
                Call::Heartbeat => self.heartbeat(session).await,
                Call::Resumed => self.resumed(session).await,
                Call::Push => {} // Who calls has made a message of it.
                Call::Gap(gap) => self.gap(session, &gap).await,
                Call::Disconnect(reason) => self.disconnect(session, reason).await,
            }
            Ok(())
        })
    }
}

impl From<JoinError> for Close {
    fn from(err: JoinError) -> Self {
        Self::new(CloseCode::Policy, err.to_string())
    }
}

impl From<PublishError> for Close {
    fn from(err: PublishError) -> Self {
        let code = match err {
            PublishError::TooLarge { .. } => CloseCode::TooLarge,
            PublishError::ShuttingDown => CloseCode::GoingAway,
            _ => CloseCode::Policy,
        };
        Self::new(code, err.to_string())
    }
}
