//! Requests: what a client wants, and who answers.

use std::{error::Error as StdError, fmt, future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body as HttpBody;
use hyper::upgrade::OnUpgrade;
use tracing::{Span, debug_span};

use super::{
    Admission, Body, ClientVersion, Framing, Greeting, Negotiation, Origin, Posted, Slot,
    Transport, head,
    http::is_kept,
    long_poll::LongPoll,
    opening::{self, Opened},
    poller::{Begun, Connection, Lost, Poller},
    polls::Polls,
    posts, receive,
    reception::Reception,
    responses, script,
    stream::Stream,
    upgraded::{self, Attach, Converse},
    websocket,
};
use crate::{
    connection::ClientRequest,
    id::{SessionId, TopicName},
    message::Message,
    path::{self, InvalidPath},
    proto::{Close, CloseCode, CloseReason, Core, Position, wire::MAX_MESSAGE_BYTES},
    runtime::{Call, Front, Hub, Tasks, clock},
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
    admission: Admission,
    reception: Arc<Reception>,
    polls: Arc<Polls>,
    span: Span,
}

impl Server {
    pub(crate) fn new(
        hub: Arc<Hub>,
        front: Arc<dyn Front>,
        tasks: Tasks,
        admission: Admission,
        reception: Arc<Reception>,
        span: Span,
    ) -> Self {
        let polls = Arc::<Polls>::default();
        let (swept, ending) = (Arc::clone(&polls), tasks.clone());
        tasks.spawn(span.clone(), async move { swept.sweep(&ending).await });
        Self { hub, front, tasks, admission, reception, polls, span }
    }

    /// Whether it answers by scripts, for pages of other origins.
    pub(crate) fn offers_scripts(&self) -> bool {
        self.admission.scripts
    }

    /// Who may connect, and how.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Answers a request.
    pub(crate) async fn answer<B>(self: &Arc<Self>, mut request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send,
    {
        self.hub.counters().requested();
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (parts, body) = request.into_parts();
        let mut response = match self.try_answer(&parts, upgrade, body).await {
            Ok(response) | Err(response) => response,
        };
        let request = Request::from_parts(parts, ());
        responses::allow_origin(&mut response, &request, &self.admission.origins);
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
            return Err(responses::elsewhere("this node is shutting down; another may answer"));
        }
        head::check(parts)?;
        let slot = parts.extensions.get::<Slot>();
        let local = slot.and_then(|slot| slot.local);
        let checked = self.admission.hosts.check(&parts.uri, &parts.headers, local);
        checked.map_err(|host| responses::unknown_host(&host))?;
        let path = path::read(parts.uri.path()).map_err(|invalid| match invalid {
            InvalidPath::Root => responses::not_found(),
            invalid => responses::error(StatusCode::BAD_REQUEST, &invalid.to_string()),
        })?;
        let is_bare = self.front.is_bare(path.as_str());
        if !is_bare && !self.front.has_route(path.as_str()) {
            let script = script::answer(&parts.method, path.as_str(), &parts.headers);
            return Err(script.unwrap_or_else(responses::not_found));
        }
        if Origin::read(&parts.uri, &parts.headers) == Origin::Foreign
            && !responses::is_listed(&parts.headers, &self.admission.origins)
        {
            return Err(responses::foreign_origin());
        }
        if parts.method == Method::OPTIONS {
            return Ok(responses::options());
        }
        if is_bare {
            return self.converse(&path, parts, upgrade).await;
        }
        let mut negotiation = Negotiation::read(&parts.uri, &parts.headers)?;
        let received = self.reception.receive(parts).await;
        negotiation.holder = received.map_err(|answer| answer.map(Body::from))?;
        if negotiation.transport == Transport::Close {
            if negotiation.postman {
                return posts::answer(&self.hub, &self.tasks, &negotiation, &path, &Bytes::new())
                    .await;
            }
            return Ok(self.close(&negotiation, &path).await);
        }
        match parts.method {
            Method::GET if websocket::is_upgrade(&parts.headers) => {
                let mut response = websocket::accept(parts)?;
                let upgrade = upgrade.ok_or_else(responses::not_a_websocket)?;
                self.check_room(&negotiation, &path)?;
                self.reception.offer_cookie(&mut response, parts, &negotiation.holder);
                self.count_client(parts);
                let request = request_of(parts);
                self.attach(upgrade, (negotiation, request), path, slot.cloned()).await;
                Ok(response)
            }
            Method::GET if negotiation.transport != Transport::Undefined => {
                self.suspend(&negotiation, &path, parts).await
            }
            _ => self.take(&negotiation, &path, parts, body).await,
        }
    }

    /// A request that is answered at once, or when its handler has returned.
    async fn take<B>(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
        body: B,
    ) -> Result<Response<Body>, Response<Body>>
    where
        B: HttpBody<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send,
    {
        let bodies = &self.admission.bodies;
        let posted = receive(body, MAX_MESSAGE_BYTES, BODY_PATIENCE, bodies).await;
        let Posted { body, held } = posted.map_err(|err| Response::from(&err))?;
        let answer = match negotiation.postman && parts.method == Method::POST {
            true => posts::answer(&self.hub, &self.tasks, negotiation, path, &body).await,
            false => self.request(negotiation, path, parts, body).await,
        };
        drop(held); // Only now no handler is waited for with it.
        answer
    }

    /// A request that no client connects by: the handler may have an answer of its own.
    async fn request(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
        body: Bytes,
    ) -> Result<Response<Body>, Response<Body>> {
        let session = self.find_session(negotiation, path).await;
        let request = Request::from_parts(parts.clone(), body.clone());
        let asked = session.unwrap_or_else(opening::fresh_id);
        let principal = negotiation.holder.principal.as_ref();
        let answered = self.front.request(asked, path.as_str(), principal, request);
        if let Some(response) = answered.await {
            return Ok(response.map(Body::from));
        }
        match parts.method {
            Method::GET => Ok(responses::done()),
            Method::POST => self.post(negotiation, path, parts, body).await,
            _ => Err(responses::method_not_allowed()),
        }
    }

    /// The [session](Self::session_of) that a request names, once the news of it had time to come: it may
    /// have begun on another node just now.
    async fn find_session(&self, negotiation: &Negotiation, path: &TopicName) -> Option<SessionId> {
        let asked = negotiation.asked.session()?;
        if self.hub.with(|core, _| core.replica().session(asked).is_none()) {
            opening::catch_up(&self.hub, &self.tasks, asked).await;
        }
        self.session_of(negotiation, path)
    }

    /// The session that a request names, if that is one of this path and of who makes the request.
    fn session_of(&self, negotiation: &Negotiation, path: &TopicName) -> Option<SessionId> {
        let (path, holder) = (path.as_str(), &negotiation.holder);
        negotiation.asked.session().filter(|&session| {
            self.hub.with(|core, _| core.replica().session_of(session, path, holder).is_some())
        })
    }

    /// Counts a client that connects, by what it says it is.
    fn count_client(&self, parts: &Parts) {
        let user_agent = parts.headers.get(header::USER_AGENT);
        self.hub.counters().told(user_agent.and_then(|it| it.to_str().ok()));
    }

    /// Refuses a client for whose session there is no room, nor can be made.
    #[expect(clippy::result_large_err, reason = "it is the answer, once for each request")]
    fn check_room(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
    ) -> Result<(), Response<Body>> {
        if let Some(close) = self.hub.turned_away() {
            return Err(responses::elsewhere(&close.reason));
        }
        let (asked, holder) = (negotiation.asked.session(), &negotiation.holder);
        let has_room = |core: &Core| core.has_room_for_session(asked, path.as_str(), holder);
        let has_room = self.hub.with(|core, now| {
            if self.admission.gone_give_way && !has_room(core) {
                core.give_up_longest_gone(now);
            }
            has_room(core)
        });
        has_room.then_some(()).ok_or_else(responses::no_room)
    }

    /// A client that is answered as things happen.
    async fn suspend(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
    ) -> Result<Response<Body>, Response<Body>> {
        match negotiation.transport {
            Transport::Sse | Transport::Streaming => self.stream(negotiation, path, parts).await,
            Transport::Jsonp if !self.admission.scripts => Err(responses::no_scripts()),
            Transport::Jsonp | Transport::LongPolling | Transport::Polling => {
                self.poll(negotiation, path, parts).await
            }
            Transport::WebSocket => Err(responses::not_a_websocket()),
            #[cfg(feature = "grpc")]
            Transport::Grpc => Ok(responses::done()),
            Transport::Close | Transport::Undefined => Ok(responses::done()),
        }
    }

    /// Attaches the session that a client asks for, unless there is no room or the handler objects.
    async fn open(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
    ) -> Result<Opened, Response<Body>> {
        self.check_room(negotiation, path)?;
        let asked = (negotiation, request_of(parts));
        let opened = Opened::open(&self.hub, &*self.front, &self.tasks, asked, path).await;
        match self.hub.ended(opened.attached().key) {
            Some(close) => Err(responses::error(status_of(&close), &close.reason)),
            None => Ok(opened),
        }
    }

    async fn stream(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
    ) -> Result<Response<Body>, Response<Body>> {
        let opened = self.open(negotiation, path, parts).await?;
        self.count_client(parts);
        let session = opened.attached().session;
        let kind = match negotiation.transport {
            Transport::Sse => responses::EVENTS,
            _ => responses::TEXT_PLAIN,
        };
        let body = Body::from(Stream::new(opened, negotiation, path));
        let mut response = responses::going_on(kind, body);
        responses::name_session(&mut response, session);
        self.reception.offer_cookie(&mut response, parts, &negotiation.holder);
        Ok(response)
    }

    async fn poll(
        &self,
        negotiation: &Negotiation,
        path: &TopicName,
        parts: &Parts,
    ) -> Result<Response<Body>, Response<Body>> {
        let asked = self.session_of(negotiation, path);
        let found = asked.and_then(|session| self.polls.find(session, path));
        let begun = found
            .as_ref()
            .map(|poller| poller.begin(negotiation.position.as_ref(), negotiation.series));
        let waits = negotiation.protocol && negotiation.client == ClientVersion::Modern;
        let is_certain = !waits || matches!(begun, Some(Ok(_)));
        let (poller, Begun { ticket, is_back }) = match (found, begun) {
            (Some(poller), Some(Ok(begun))) => (poller, begun),
            (_, lost) => {
                let lost = lost.and_then(Result::err);
                if matches!(lost, Some(Lost::Turn)) {
                    return Err(responses::out_of_turn());
                }
                let opened = self.open(negotiation, path, parts).await?;
                self.count_client(parts);
                let session = opened.attached().session;
                let watches = !matches!(lost, Some(Lost::Attachment { watches: false }));
                let poller = Arc::new(Poller::new(opened, path.clone(), watches));
                self.polls.insert(session, Arc::clone(&poller));
                let begun = poller.start();
                let is_back = lost.is_some() || poller.opened().attached().was_gone;
                (poller, Begun { is_back, ..begun })
            }
        };
        let greeting = Greeting::of_poll(negotiation, is_back);
        let connection = connection_of(negotiation, parts);
        let poll = LongPoll::new(
            Arc::clone(&poller),
            ticket,
            connection,
            negotiation,
            greeting,
            is_certain,
        );
        let mut response = match negotiation.transport {
            Transport::Jsonp => responses::going_on(responses::SCRIPT, Body::from(poll)),
            _ if negotiation.is_stock() => {
                responses::going_on(responses::TEXT_PLAIN, Body::from(poll))
            }
            _ if negotiation.postman => answer_series(poll).await?,
            _ => self.answer_whole(poll, &poller, path).await?,
        };
        responses::name_session(&mut response, poller.opened().attached().session);
        self.reception.offer_cookie(&mut response, parts, &negotiation.holder);
        Ok(response)
    }

    /// The answer to a plain poll, which tells where its client is with it.
    async fn answer_whole(
        &self,
        mut poll: LongPoll,
        poller: &Poller,
        path: &TopicName,
    ) -> Result<Response<Body>, Response<Body>> {
        let place = self.admission.parking.take(1);
        if place.is_none() {
            poll.hurry();
        }
        let answer = poll_fn(|cx| poll.poll_answer(cx)).await;
        let answer = answer.map_err(|end| responses::error(status_of(&end), &end.reason))?;
        poll.finish();
        let mut response = match answer.is_empty() {
            true if place.is_none() => responses::nothing_yet(),
            true => responses::nothing_new(),
            false => responses::text(responses::TEXT_PLAIN, Body::from(answer)),
        };
        let key = poller.opened().attached().key;
        let token = self.hub.with(|core, _| core.given(key, path).map(Position::token));
        if let Some(token) = token.filter(|token| token.len() <= Position::MAX_TOKEN_CHARS) {
            responses::name_position(&mut response, &token);
        }
        Ok(response)
    }

    /// The client says that it is done. It is told that this is well, whatever it was.
    async fn close(&self, negotiation: &Negotiation, path: &TopicName) -> Response<Body> {
        if let Some(session) = self.find_session(negotiation, path).await {
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
        let session = self.session_of(negotiation, path);
        let principal = negotiation.holder.principal.as_ref();
        let mailbox = match session {
            Some(session) => self.front.mailbox(session, path.as_str(), principal),
            None => self.front.visitor(opening::fresh_id(), path.as_str(), principal),
        };
        let mailbox = mailbox.ok_or_else(responses::not_found)?;
        let message = read_message(parts, body);
        // An old client does not say again, as it posts, what its id shows: it had a handshake.
        let is_greeted = session.is_some() && negotiation.client == ClientVersion::Legacy;
        let protocol = negotiation.protocol || is_greeted;
        let call = match message.as_text() {
            Some(LEGACY_ACK) if protocol => return Ok(responses::done()),
            Some(Framing::PADDING) if protocol => Call::Heartbeat,
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

    /// Makes the connection of a request the attachment of the session that is asked for.
    ///
    /// Returns when the session is open, so that who is answered then misses nothing that is
    /// published after the answer.
    async fn attach(
        &self,
        upgrade: OnUpgrade,
        (negotiation, request): (Negotiation, ClientRequest),
        path: TopicName,
        slot: Option<Slot>,
    ) {
        let asked = (&negotiation, request);
        let opened = Opened::open(&self.hub, &*self.front, &self.tasks, asked, &path).await;
        let session = opened.attached().session.to_string();
        let span = debug_span!(parent: &self.span, "session", id = &session[..8]);
        let attach = Attach { opened, negotiation, path, slot };
        upgraded::upgrade(upgrade, attach, &self.tasks, self.span.clone(), span);
    }

    /// Hands the connection of a request to a handler of bare WebSockets.
    async fn converse(
        &self,
        path: &TopicName,
        parts: &Parts,
        upgrade: Option<OnUpgrade>,
    ) -> Result<Response<Body>, Response<Body>> {
        let principal = self.reception.principal(parts).await;
        let principal = principal.map_err(|answer| answer.map(Body::from))?;
        let response = websocket::accept(parts)?;
        let upgrade = upgrade.ok_or_else(responses::not_a_websocket)?;
        let bare = self.front.bare(path.as_str(), principal);
        let bare = bare.expect("somebody answers for the path");
        let mut request = Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.clone();
        *request.version_mut() = parts.version;
        *request.headers_mut() = parts.headers.clone();
        let (tasks, slot) = (self.tasks.clone(), parts.extensions.get().cloned());
        let span = debug_span!(parent: &self.span, "websocket", path = parts.uri.path());
        let converse = Converse { bare, request, tasks, slot, heartbeat: self.hub.heartbeat() };
        upgraded::upgrade(upgrade, converse, &self.tasks, self.span.clone(), span);
        Ok(response)
    }
}

/// The answer to a poll of a client that speaks postman: a piece of an event stream.
async fn answer_series(mut poll: LongPoll) -> Result<Response<Body>, Response<Body>> {
    let answer = poll_fn(|cx| poll.poll_answer(cx)).await;
    let answer = answer.map_err(|end| responses::error(status_of(&end), &end.reason))?;
    poll.finish();
    Ok(match answer.is_empty() {
        true => responses::nothing_new(),
        false => responses::text(responses::EVENTS, Body::from(answer)),
    })
}

/// The connection of a request, if its client will ask again by it unless it was cut off.
fn connection_of(negotiation: &Negotiation, parts: &Parts) -> Option<Connection> {
    let is_kept = parts.version != Version::HTTP_10 && is_kept(&parts.headers);
    let slot = parts.extensions.get::<Slot>().filter(|_| is_kept && negotiation.is_stock());
    slot.map(Slot::connection)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
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
        CloseCode::GoingAway | CloseCode::SlowConsumer => StatusCode::SERVICE_UNAVAILABLE,
        CloseCode::Normal => StatusCode::GONE,
        CloseCode::NotText | CloseCode::Policy | CloseCode::Protocol => StatusCode::BAD_REQUEST,
        CloseCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        CloseCode::Superseded => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What is kept of a request by which a client is connected.
pub(super) fn request_of(parts: &Parts) -> ClientRequest {
    let slot = parts.extensions.get::<Slot>();
    let address = slot.and_then(|slot| slot.remote);
    ClientRequest::new(&parts.uri, &parts.headers, address, clock::calendar())
}
