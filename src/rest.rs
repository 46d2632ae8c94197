//! Services as handlers: what clients send become requests, whatever they are connected by.

use std::{convert::Infallible, error::Error as StdError, fmt};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use tower_service::Service;
use tracing::debug;

use crate::{
    handler::Handler,
    message::Message,
    path,
    proto::{Close, CloseCode, wire::MAX_MESSAGE_BYTES},
    reply::Reply,
    service::Body,
    session::Session,
};

/// A handler that is a service of yours, such as a router of axum's.
///
/// A request without a transport is handed to the service as it is. A client that is connected, by a
/// WebSocket or otherwise, reads the topic that is called like its path; each message that it sends
/// becomes a POST to that path, and the body of the response is sent back to it. A text of the form
/// `@@/below@@body` is a POST of `body` to what lies `/below` the client's path.
///
/// A text is sent as `text/plain`, unless [`Rest::texts_as`] says otherwise, and bytes as
/// `application/octet-stream`. Nothing else of what the client said when it connected is said again:
/// its headers and query are not. Who may send to a path below is judged by the service alone, as
/// [`Builder::authenticate`](crate::Builder::authenticate) and layers were asked when the client connected.
///
/// Every request carries the client's [`Session`] as an extension, by which the service can publish, and
/// its [`Principal`](crate::Principal), if it has one.
/// A response that carries a [`Reply<()>`](Reply) as an extension goes where that says instead.
///
/// # Examples
///
/// ```
/// use axum::{Extension, Router, routing::post};
/// use exosphere::{Node, Session, rest};
///
/// async fn say(Extension(session): Extension<Session>, body: String) -> String {
///     let _ = session.publish(session.path().as_str(), body).await;
///     "said".to_owned()
/// }
///
/// let service = Router::new().route("/chat/{room}", post(say));
/// let builder = Node::builder("chat").route("/chat/{room}", rest(service));
/// # drop(builder);
/// ```
pub fn rest<S, B>(service: S) -> Rest<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    Rest { service, text_type: HeaderValue::from_static(TEXT) }
}

/// A handler that is a service: see [`rest`].
#[derive(Clone)]
pub struct Rest<S> {
    service: S,
    /// The `Content-Type` of texts.
    text_type: HeaderValue,
}

const TEXT: &str = "text/plain;charset=utf-8";
const BYTES: &str = "application/octet-stream";

impl<S> Rest<S> {
    /// Texts that clients send are of this type: `application/json`, say, for a service that takes
    /// nothing else.
    ///
    /// # Panics
    ///
    /// If it is not printable ASCII.
    #[must_use]
    pub fn texts_as(self, content_type: &'static str) -> Self {
        Self { text_type: HeaderValue::from_static(content_type), ..self }
    }
}

/// What stands before and behind the path of a message that is for a path below.
const PATH_DELIMITER: &str = "@@";

impl<S, B> Rest<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    /// What the service says, whole.
    async fn call(&self, request: Request<Body>) -> Response<Bytes> {
        let mut service = self.service.clone();
        let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
        let Ok(response) = match ready {
            Ok(()) => service.call(request).await,
        };
        let (parts, body) = response.into_parts();
        match Limited::new(body, MAX_MESSAGE_BYTES).collect().await {
            Ok(body) => Response::from_parts(parts, body.to_bytes()),
            Err(error) => {
                debug!(%error, "a service's response cannot be passed on");
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    /// Sees to it that a response gets where it is to go. What is left is for who asked.
    async fn deliver(
        &self,
        session: &Session,
        mut response: Response<Bytes>,
    ) -> Result<Response<Bytes>, Close> {
        let reply = response.extensions_mut().remove::<Reply<()>>();
        let message = |body: &mut Bytes| {
            let body = std::mem::take(body);
            Message::from_utf8(body.clone()).unwrap_or_else(|_| Message::binary(body))
        };
        match reply {
            None | Some(Reply::Session(())) => {}
            Some(Reply::Nothing) => response.body_mut().clear(),
            Some(Reply::Topic(())) => {
                let message = message(response.body_mut());
                session.publish(session.path().as_str(), message).await?;
            }
            Some(Reply::Everyone(())) => {
                session.publish_everywhere(message(response.body_mut())).await?;
            }
        }
        Ok(response)
    }
}

impl<S, B> Handler for Rest<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        let (path, body) = addressed(session, &message)?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path;
        let kind = match message.is_text() {
            true => self.text_type.clone(),
            false => HeaderValue::from_static(BYTES),
        };
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        introduce(session, &mut request);
        let response = self.call(request).await;
        let body = self.deliver(session, response).await?.into_body();
        if !body.is_empty() {
            let said = Message::from_utf8(body.clone()).unwrap_or_else(|_| Message::binary(body));
            session.send(said).await?;
        }
        Ok(())
    }

    async fn request(
        &self,
        session: &Session,
        mut request: Request<Bytes>,
    ) -> Option<Response<Bytes>> {
        introduce(session, &mut request);
        let response = self.call(request.map(Body::from)).await;
        let failed = |close: Close| {
            let mut response = Response::new(Bytes::from(close.reason.into_owned()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        };
        Some(self.deliver(session, response).await.unwrap_or_else(failed))
    }
}

/// Says whose request it is.
fn introduce<B>(session: &Session, request: &mut Request<B>) {
    request.extensions_mut().insert(session.clone());
    if let Some(principal) = session.principal() {
        request.extensions_mut().insert(principal.clone());
    }
}

/// Which path a message is for, and what of it is the body.
fn addressed(session: &Session, message: &Message) -> Result<(Uri, Bytes), Close> {
    let rest = message.as_text().and_then(|text| text.strip_prefix(PATH_DELIMITER));
    let (below, body) = match rest.and_then(|rest| rest.split_once(PATH_DELIMITER)) {
        Some((below, body)) if below.starts_with('/') => (below, Bytes::from(body.to_owned())),
        _ => ("", message.as_bytes().clone()),
    };
    let path = percent_encoding::utf8_percent_encode(session.path().as_str(), PATH);
    let path = format!("{path}{below}").parse::<Uri>();
    let path = path.map_err(|_| Close::new(CloseCode::Policy, "the path is none"))?;
    let read = path::read(path.path());
    read.map_err(|invalid| Close::new(CloseCode::Policy, invalid.to_string()))?;
    Ok((path, body))
}

/// What cannot stand in a path as it is.
const PATH: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

impl<S> fmt::Debug for Rest<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").finish_non_exhaustive()
    }
}
