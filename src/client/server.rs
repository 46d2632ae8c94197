//! Requests: what a client wants, and who answers.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as HttpBody;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::{Span, debug, debug_span};

use super::{
    Asked, Body, Hosts, Negotiation, Origin, Slot, Socket, Transport,
    attachment::Attachment,
    framing::Framing,
    opening::{self, Opened},
    receive, responses, script, websocket,
};
use crate::{
    id::TopicName,
    message::Message,
    proto::{Close, CloseCode, CloseReason, wire::MAX_MESSAGE_BYTES},
    runtime::{Call, Front, Hub, Tasks},
};

/// How long a client may take for the body of a request.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How often clients that understand it are asked to show that they are there.
pub(super) const CLIENT_HEARTBEAT: Duration = Duration::from_secs(60);

/// What old clients send once after the handshake, if told to. It means nothing.
pub(super) const LEGACY_ACK: &str = "...ACK...";

/// The clients' side of a node.
pub(crate) struct Server {
    hub: Arc<Hub>,
    front: Arc<dyn Front>,
    tasks: Tasks,
    /// The origins whose pages may connect, beside the node's own.
    origins: Vec<String>,
    hosts: Hosts,
    span: Span,
}

impl Server {
    pub(crate) fn new(
        hub: Arc<Hub>,
        front: Arc<dyn Front>,
        tasks: Tasks,
        origins: Vec<String>,
        hosts: Hosts,
        span: Span,
    ) -> Self {
        Self { hub, front, tasks, origins, hosts, span }
    }

    /// Answers a request.
    pub(crate) async fn answer<B>(self: &Arc<Self>, mut request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send,
    {
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (parts, body) = request.into_parts();
        let mut response = match self.try_answer(&parts, upgrade, body).await {
            Ok(response) | Err(response) => response,
        };
        let request = Request::from_parts(parts, ());
        responses::allow_origin(&mut response, &request, &self.origins);
        response
    }

    async fn try_answer<B>(
        self: &Arc<Self>,
        parts: &Parts,
        upgrade: Option<OnUpgrade>,
        body: B,
    ) -> Result<Response<Body>, Response<Body>>
    where
        B: HttpBody<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send,
    {
        if self.tasks.is_cancelled() {
            return Err(responses::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "this node is shutting down; another may answer",
            ));
        }
        let slot = parts.extensions.get::<Slot>();
        let local = slot.and_then(|slot| slot.local);
        let checked = self.hosts.check(&parts.uri, &parts.headers, local);
        checked.map_err(|host| responses::unknown_host(&host))?;
        let path = read_path(parts.uri.path())?;
        if !self.front.has_route(path.as_str()) {
            let script = script::answer(&parts.method, path.as_str(), &parts.headers);
            return Err(script.unwrap_or_else(responses::not_found));
        }
        if Origin::read(&parts.uri, &parts.headers) == Origin::Foreign
            && !responses::is_listed(&parts.headers, &self.origins)
        {
            return Err(responses::foreign_origin());
        }
        if parts.method == Method::OPTIONS {
            return Ok(responses::options());
        }
        let negotiation = Negotiation::read(&parts.uri, &parts.headers)?;
        if negotiation.transport == Transport::Close {
            return Ok(self.close(&negotiation));
        }
        match parts.method {
            Method::GET if websocket::is_upgrade(&parts.headers) => {
                let response = websocket::accept(parts)?;
                let upgrade = upgrade.ok_or_else(responses::not_a_websocket)?;
                if !self.hub.with(|core, _| core.has_room_for_session(negotiation.asked.session()))
                {
                    return Err(responses::no_room());
                }
                self.upgrade(upgrade, negotiation, path, slot.cloned()).await;
                Ok(response)
            }
            Method::GET if negotiation.transport == Transport::Undefined => Ok(responses::done()),
            Method::GET => Err(responses::not_a_websocket()),
            Method::POST => {
                let body = receive(body, MAX_MESSAGE_BYTES, BODY_PATIENCE).await;
                let body = body.map_err(|err| Response::from(&err))?;
                self.post(&negotiation, &path, parts, body).await
            }
            _ => Err(responses::method_not_allowed()),
        }
    }

    /// The client says that it is done. It is told that this is well, whatever it was.
    fn close(&self, negotiation: &Negotiation) -> Response<Body> {
        if let Asked::Resume(session) = negotiation.asked {
            self.hub.with(|core, now| core.close(session, CloseReason::Client, now));
        }
        responses::done()
    }

    /// A message that was posted: the handler of the path is told, in the name of the session if
    /// the client has one, and the answer is what it says.
    async fn post(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
        body: Bytes,
    ) -> Result<Response<Body>, Response<Body>> {
        let session = negotiation.asked.session().filter(|&session| {
            self.hub.with(|core, _| {
                let known = core.replica().session(session);
                known.is_some_and(|known| *known.path == *path.as_str())
            })
        });
        let mailbox = match session {
            Some(session) => self.front.mailbox(session, path.as_str()),
            None => self.front.visitor(opening::fresh_id(), path.as_str()),
        };
        let mailbox = mailbox.ok_or_else(responses::not_found)?;
        let message = read_message(parts, body);
        let call = match message.as_text() {
            Some(LEGACY_ACK) if negotiation.protocol => return Ok(responses::done()),
            Some(Framing::PADDING) if negotiation.protocol => Call::Heartbeat,
            _ => Call::Message(message),
        };
        match mailbox.ask(call).await {
            Ok(()) => {
                let mut response = responses::done();
                if let Some(session) = session {
                    responses::name_session(&mut response, session);
                }
                Ok(response)
            }
            Err(close) => Err(responses::error(status_of(&close), &close.reason)),
        }
    }

    /// Serves the WebSocket, once the server that holds the connection lets go of it.
    ///
    /// Returns when the session is open, so that who is answered then misses nothing that is
    /// published after the answer.
    async fn upgrade(
        self: &Arc<Self>,
        upgrade: OnUpgrade,
        negotiation: Negotiation,
        path: TopicName,
        slot: Option<Slot>,
    ) {
        let opened = Opened::open(&self.hub, &*self.front, &self.tasks, &negotiation, &path).await;
        let server = Arc::clone(self);
        self.tasks.spawn(self.span.clone(), async move {
            let upgraded = match upgrade.await {
                Ok(upgraded) => upgraded,
                Err(error) => return debug!(%error, "a client left before the upgrade"),
            };
            match take_stream(upgraded) {
                Ok((stream, unread)) => {
                    server.attach(stream, unread, opened, &negotiation, &path, slot);
                }
                Err(upgraded) => {
                    let io = TokioIo::new(upgraded);
                    server.attach(io, Bytes::new(), opened, &negotiation, &path, slot);
                }
            }
        });
    }

    /// Attaches a connection to its session, in a task of its own: what the handshake needed is
    /// gone then.
    fn attach<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: IO,
        unread: Bytes,
        opened: Opened,
        negotiation: &Negotiation,
        path: &TopicName,
        slot: Option<Slot>,
    ) {
        let session = opened.attached().session.to_string();
        let socket = Socket::new(io, unread, MAX_MESSAGE_BYTES);
        let attachment = Attachment::new(socket, opened, negotiation, path);
        let span = debug_span!(parent: &self.span, "session", id = &session[..8]);
        self.tasks.spawn(span, async move {
            attachment.run().await;
            drop(slot);
        });
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// The bare connection, and what of it was read already, if it is TCP: without what the server that
/// accepted it put around it, it takes less memory, and less time for each write.
fn take_stream(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => {
            let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
            Ok((parts.io.into_inner(), parts.read_buf))
        }
    }
}

/// The path that was asked for, decoded, which is the name of a topic too.
#[expect(clippy::result_large_err, reason = "it is the answer, once for each request")]
fn read_path(path: &str) -> Result<TopicName, Response<Body>> {
    let invalid = |why: &str| responses::error(StatusCode::BAD_REQUEST, why);
    // A guard in front of this node would see one segment where the handler sees two.
    if path.to_ascii_lowercase().contains("%2f") {
        return Err(invalid("the path has an encoded slash"));
    }
    let decoded = percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| invalid("the path is not UTF-8"))?;
    let trimmed = match decoded.strip_suffix('/') {
        Some("") | None => &*decoded,
        Some(trimmed) => trimmed,
    };
    match trimmed {
        "/" => Err(responses::not_found()),
        path => TopicName::parse(path).map_err(|err| invalid(&err.to_string())),
    }
}

/// A posted body: text, unless it says that it is not, or is not.
fn read_message(parts: &Parts, body: Bytes) -> Message {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let is_binary = content_type.is_some_and(|it| it.as_bytes() == b"application/octet-stream");
    match is_binary {
        true => Message::binary(body),
        false => Message::from_utf8(body.clone()).unwrap_or_else(|_| Message::binary(body)),
    }
}

fn status_of(close: &Close) -> StatusCode {
    match close.code {
        CloseCode::Forbidden => StatusCode::FORBIDDEN,
        CloseCode::GoingAway => StatusCode::SERVICE_UNAVAILABLE,
        CloseCode::Normal => StatusCode::GONE,
        CloseCode::NotText | CloseCode::Policy | CloseCode::Protocol => StatusCode::BAD_REQUEST,
        CloseCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        CloseCode::Superseded => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
