//! What a client and the node agree on at the start of a request, read once.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use thiserror::Error;

use super::{
    ClientVersion, Framing, Parameters, Transport,
    jsonp::Callback,
    series::{InvalidSeries, Series},
    websocket,
};
use crate::{
    connection::{self, Connection},
    id::SessionId,
    postman,
    proto::{Holder, Position},
};

/// What a request says about its client.
///
/// What a client gets wrong is as if it had not said it, as far as that is harmless; the rest is
/// an error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Negotiation {
    pub(crate) asked: Asked,
    pub(crate) client: ClientVersion,
    pub(crate) transport: Transport,
    pub(crate) framing: Framing,
    /// Whether the client understands a handshake.
    pub(crate) protocol: bool,
    pub(crate) heartbeat: AskedHeartbeat,
    /// What the client says it has.
    pub(crate) position: Option<Position>,
    /// Whether the client speaks postman.
    pub(crate) postman: bool,
    /// Which connection of a client that speaks postman this request goes on with.
    pub(crate) series: Option<Series>,
    /// What a client wants to be called that loads scripts.
    pub(crate) callback: Option<Callback>,
    /// Who makes the request, which others have found out.
    pub(crate) holder: Holder,
}

impl Negotiation {
    /// The longest that the value of a parameter may be.
    const MAX_VALUE_BYTES: usize = 256;

    /// Reads what a request says, in its headers or in its query.
    ///
    /// # Errors
    ///
    /// [`NegotiationError`] if the client cannot be served as it wants to be.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Self, NegotiationError> {
        let parameters = Parameters::new(uri, headers);
        let value = |name| parameters.get(name, Self::MAX_VALUE_BYTES);
        let mut negotiation = Self {
            asked: Asked::read(&parameters),
            client: value(name::FRAMEWORK)
                .map_or(ClientVersion::Unknown, |text| ClientVersion::read(&text)),
            transport: match websocket::is_upgrade(headers) {
                true => Transport::WebSocket,
                false => match value(name::TRANSPORT) {
                    Some(text) => Transport::read(&text),
                    None if accepts_events(headers) => Transport::Sse,
                    None => Transport::Undefined,
                },
            },
            framing: match value(name::TRACK_MESSAGE_SIZE) {
                Some(text) if text.eq_ignore_ascii_case("true") => Framing::Length,
                _ => Framing::Bare,
            },
            protocol: parameters.has(name::PROTOCOL),
            heartbeat: value(name::HEARTBEAT)
                .map_or(AskedHeartbeat::Default, |text| AskedHeartbeat::read(&text)),
            position: match parameters.get(name::POSITION, Position::MAX_TOKEN_CHARS) {
                None if parameters.has(name::POSITION) => return Err(NegotiationError::Position),
                None => known_position(headers),
                Some(token) => {
                    let position = Position::parse_token(&token);
                    Some(position.map_err(|_| NegotiationError::Position)?)
                }
            },
            postman: match value(name::POSTMAN) {
                None if parameters.has(name::POSTMAN) => return Err(NegotiationError::Postman),
                None => false,
                Some(version) if version.parse() == Ok(postman::VERSION) => true,
                Some(_) => return Err(NegotiationError::Postman),
            },
            series: match value(name::SERIES).map(|text| text.parse()) {
                None if parameters.has(name::SERIES) => return Err(NegotiationError::Series),
                series => series.transpose().map_err(|InvalidSeries| NegotiationError::Series)?,
            },
            callback: value(name::CALLBACK).and_then(|text| Callback::read(&text)),
            holder: Holder::default(),
        };
        negotiation.series = negotiation.series.filter(|_| negotiation.postman);
        negotiation.check_version()?;
        negotiation.check_transport()?;
        Ok(negotiation)
    }

    /// What a client says that is connected by no request of its own for each session.
    #[cfg(feature = "grpc")]
    pub(super) fn of_stream(tracking_id: &str, position: Option<Position>, holder: Holder) -> Self {
        Self {
            asked: Asked::parse(tracking_id),
            client: ClientVersion::Unknown,
            transport: Transport::Grpc,
            framing: Framing::Bare,
            protocol: false,
            heartbeat: AskedHeartbeat::Default,
            position,
            postman: false,
            series: None,
            callback: None,
            holder,
        }
    }

    /// Whether the client waits for its first handshake, which tells it its id.
    pub(crate) fn wants_first_handshake(&self) -> bool {
        self.protocol && self.asked == Asked::New && self.transport != Transport::Close
    }

    /// Whether this is a client of Atmosphere's, with all its habits.
    pub(crate) fn is_stock(&self) -> bool {
        self.protocol || self.client != ClientVersion::Unknown
    }

    /// Whether this client speaks postman and is told things by answers to requests.
    pub(crate) fn is_told_by_requests(&self) -> bool {
        self.postman && matches!(self.transport, Transport::Sse | Transport::LongPolling)
    }

    /// How the client is connected, once it is.
    pub(crate) fn connection(&self) -> Connection {
        use connection::{Evidence, Transport as Kind};
        let (kind, evidence) = match self.transport {
            Transport::WebSocket => (Kind::WebSocket, Evidence::Pong),
            Transport::Sse => (Kind::EventStream, Evidence::Written),
            Transport::Streaming => (Kind::Streaming, Evidence::Written),
            #[cfg(feature = "grpc")]
            Transport::Grpc => (Kind::Grpc, Evidence::Written),
            Transport::Jsonp => (Kind::Jsonp, Evidence::NextRequest),
            _ => (Kind::LongPolling, Evidence::NextRequest),
        };
        Connection::new(kind, if self.postman { Evidence::Client } else { evidence })
    }

    /// What a transport needs to know must have been said.
    fn check_transport(&self) -> Result<(), NegotiationError> {
        let is_spoken = match self.transport {
            Transport::WebSocket => true,
            // A stock client that carries postman counts no answers, so that it would be told again
            // and again.
            Transport::Sse | Transport::LongPolling => !self.is_stock(),
            // Of a post, nothing else is told.
            Transport::Close | Transport::Undefined => true,
            _ => false,
        };
        if self.postman && !is_spoken {
            return Err(NegotiationError::PostmanTransport);
        }
        match (self.transport, &self.callback) {
            (Transport::Jsonp, None) => Err(NegotiationError::Callback),
            _ => Ok(()),
        }
    }

    /// Only a handshake depends on the version, so only who waits for one has to name it.
    fn check_version(&self) -> Result<(), NegotiationError> {
        match self.client {
            ClientVersion::Unknown | ClientVersion::Ancient if self.wants_first_handshake() => {
                Err(NegotiationError::Version)
            }
            _ => Ok(()),
        }
    }
}

/// Whether this is an `EventSource`, which need say no more.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accepted.is_some_and(|accepted| {
        let mut kinds = accepted.split(',').map(|kind| kind.split(';').next().unwrap_or(kind));
        kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// What a client has, as it says by the means of HTTP. What it says may be no position of ours: then
/// it is as if it had said nothing.
fn known_position(headers: &HeaderMap) -> Option<Position> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let token = match text(header::IF_NONE_MATCH) {
        Some(tag) => tag.trim().strip_prefix("W/").unwrap_or(tag).trim().trim_matches('"'),
        None => text(HeaderName::from_static("last-event-id"))?,
    };
    let is_short = token.len() <= Position::MAX_TOKEN_CHARS;
    is_short.then(|| Position::parse_token(token).ok()).flatten()
}

/// Which session a client asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    /// A new one.
    New,
    /// The one that it had.
    Resume(SessionId),
    /// One whose id no node has ever given out. It gets a new one, as if its own had expired; but
    /// an old client then believes that it had its handshake.
    Foreign,
}

impl Asked {
    fn read(parameters: &Parameters<'_>) -> Self {
        match parameters.get(name::TRACKING_ID, Negotiation::MAX_VALUE_BYTES).as_deref() {
            None if parameters.has(name::TRACKING_ID) => Self::Foreign,
            None => Self::New,
            Some(text) => Self::parse(text),
        }
    }

    fn parse(tracking_id: &str) -> Self {
        match tracking_id {
            "" | "0" => Self::New,
            text => text.parse().map_or(Self::Foreign, Self::Resume),
        }
    }

    /// The session that the client had.
    pub(crate) fn session(self) -> Option<SessionId> {
        match self {
            Self::Resume(session) => Some(session),
            Self::New | Self::Foreign => None,
        }
    }
}

/// How often a client wants to hear from the node when there is nothing to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AskedHeartbeat {
    /// As often as the node likes.
    Default,
    /// Never, as far as it is a message.
    Off,
    /// This often.
    Every(Duration),
}

impl AskedHeartbeat {
    /// The most seldom that a client can get it.
    const MOST_SELDOM: Duration = Duration::from_secs(300);

    fn read(seconds: &str) -> Self {
        match seconds.parse::<u32>() {
            Ok(0) => Self::Off,
            Ok(seconds) => Self::Every(Duration::from_secs(seconds.into())),
            Err(_) => Self::Default,
        }
    }

    /// How often the client will hear from a node that is configured for `configured`, which is
    /// the most often that a client can get. It is asked in any case whether it is there, because
    /// what is dead must be noticed, and not too seldom for that.
    pub(crate) fn or(self, configured: Duration) -> Duration {
        match self {
            Self::Default | Self::Off => configured,
            Self::Every(asked) => asked.clamp(configured, configured.max(Self::MOST_SELDOM)),
        }
    }
}

/// A client cannot be served as it wants to be. No session was made or touched.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum NegotiationError {
    /// The client is too old, or does not say how old it is. Trying again does not help.
    #[error("Atmosphere Protocol version not supported.")]
    Version,
    /// The position is not one that a node gave out. Coming back without it helps.
    #[error("the position is not one that a node gave out; ask again without it")]
    Position,
    /// A script has to call somebody. Trying again helps with a name.
    #[error("a script needs a name to call: one identifier, of at most 64 characters")]
    Callback,
    /// Postman is not spoken over this transport. Trying again helps with another.
    #[error("postman is spoken over WebSockets, event streams and long polls only")]
    PostmanTransport,
    /// The series is not one that a node gave out. Coming back without it helps.
    #[error("the series is not one that a node gave out; ask again without it")]
    Series,
    /// No such version of postman is spoken here. Trying again helps only with another.
    #[error("only version {} of postman is spoken here", postman::VERSION)]
    Postman,
}

impl NegotiationError {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Postman | Self::PostmanTransport | Self::Version => StatusCode::NOT_IMPLEMENTED,
            Self::Callback | Self::Position | Self::Series => StatusCode::BAD_REQUEST,
        }
    }
}

/// The names of the parameters.
pub(crate) mod name {
    pub(crate) const CALLBACK: &str = "jsonptransport";
    pub(crate) const FRAMEWORK: &str = "x-atmosphere-framework";
    pub(crate) const HEARTBEAT: &str = "x-heartbeat-server";
    pub(crate) const POSITION: &str = "x-exosphere-position";
    pub(crate) const POSTMAN: &str = "x-exosphere-postman";
    pub(crate) const PROTOCOL: &str = "x-atmo-protocol";
    pub(crate) const SERIES: &str = "x-exosphere-series";
    pub(crate) const TRACKING_ID: &str = "x-atmosphere-tracking-id";
    pub(crate) const TRACK_MESSAGE_SIZE: &str = "x-atmosphere-trackmessagesize";
    pub(crate) const TRANSPORT: &str = "x-atmosphere-transport";
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2c1f0000-1234-4abc-8def-0123456789ab";

    fn read(uri: &str) -> Result<Negotiation, NegotiationError> {
        Negotiation::read(&uri.parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn a_real_url_is_understood() {
        let read = read(
            "/chat?X-Atmosphere-tracking-id=0&X-Atmosphere-Framework=3.1.3-javascript\
             &X-Atmosphere-Transport=long-polling&X-Atmosphere-TrackMessageSize=true\
             &Content-Type=application%2Fjson&X-atmo-protocol=true&_=1724300000000",
        );
        let expected = Negotiation {
            asked: Asked::New,
            client: ClientVersion::Legacy,
            transport: Transport::LongPolling,
            framing: Framing::Length,
            protocol: true,
            heartbeat: AskedHeartbeat::Default,
            position: None,
            postman: false,
            series: None,
            callback: None,
            holder: Holder::default(),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_request_that_says_nothing_is_served_plainly() {
        let plain = read("/chat").unwrap();
        assert_eq!((plain.asked, plain.transport), (Asked::New, Transport::Undefined));
        assert_eq!((plain.framing, plain.protocol), (Framing::Bare, false));
    }

    #[test]
    fn a_websocket_needs_no_parameters() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive, Upgrade".parse().unwrap());
        headers.insert("upgrade", "WebSocket".parse().unwrap());
        let read = Negotiation::read(&"/chat".parse().unwrap(), &headers).unwrap();
        assert_eq!(read.transport, Transport::WebSocket);
    }

    #[test]
    fn only_a_uuid_is_a_session() {
        let asked = |id: &str| read(&format!("/?X-Atmosphere-tracking-id={id}")).unwrap().asked;
        assert_eq!(asked(ID), Asked::Resume(ID.parse().unwrap()));
        assert_eq!(asked("0"), Asked::New);
        assert_eq!(asked(""), Asked::New);
        for foreign in ["1", "1724300000000", "%00", "a", &"x".repeat(300), &ID[1..]] {
            assert_eq!(asked(foreign), Asked::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn the_version_matters_to_a_first_handshake_only() {
        let first = "/?X-atmo-protocol=true&X-Atmosphere-tracking-id=0&X-Atmosphere-Framework=";
        for refused in ["", "2.2.0-javascript", "1.0", "nonsense"] {
            assert_eq!(read(&format!("{first}{refused}")), Err(NegotiationError::Version));
        }
        for served in ["2.2.1", "4.0", "5.0.7"] {
            assert!(read(&format!("{first}{served}")).is_ok(), "{served}");
        }
        assert!(read("/?X-Atmosphere-Framework=1.0").is_ok());
        assert!(read(&format!("/?X-atmo-protocol&X-Atmosphere-tracking-id={ID}")).is_ok());
        assert!(read("/?X-atmo-protocol&X-Atmosphere-Transport=close").is_ok());
    }

    #[test]
    fn a_heartbeat_is_never_more_often_than_configured() {
        let every = Duration::from_secs(25);
        let heartbeat =
            |text: &str| read(&format!("/?X-Heartbeat-Server={text}")).unwrap().heartbeat.or(every);
        assert_eq!(heartbeat("60"), Duration::from_secs(60));
        assert_eq!(heartbeat("86400"), AskedHeartbeat::MOST_SELDOM);
        assert_eq!(heartbeat("0"), every, "it is no message then, but the client is asked");
        for configured in ["25", "10", "-1", "1.5", "", "99999999999"] {
            assert_eq!(heartbeat(configured), every, "{configured:?}");
        }
    }

    #[test]
    fn postman_is_spoken_in_one_version() {
        let socket = "/?X-Atmosphere-Transport=websocket";
        let postman = |query: &str| read(&format!("{socket}&{query}")).map(|read| read.postman);
        assert_eq!(postman(""), Ok(false));
        let script = "/?X-Atmosphere-Transport=streaming&X-Exosphere-Postman=1";
        assert_eq!(read(script), Err(NegotiationError::PostmanTransport));
        let polled = "/?X-Atmosphere-Transport=long-polling&X-Exosphere-Postman=1";
        assert!(read(polled).is_ok_and(|read| read.postman && read.series.is_none()));
        let series = |series: &str| read(&format!("{polled}&X-Exosphere-Series={series}"));
        assert!(series("00000000000000ab.3").is_ok_and(|read| read.series.is_some()));
        assert_eq!(series("ab.3"), Err(NegotiationError::Series));
        assert_eq!(postman("X-Exosphere-Postman=1"), Ok(true));
        for version in ["2", "0", "", "true", "%00"] {
            let refused = postman(&format!("X-Exosphere-Postman={version}"));
            assert_eq!(refused, Err(NegotiationError::Postman), "{version:?}");
        }
    }

    #[test]
    fn a_position_is_taken_whole_or_refused() {
        let position = |text: &str| read(&format!("/?X-Exosphere-Position={text}"));
        assert_eq!(position(&Position::new().token()).unwrap().position, Some(Position::new()));
        assert_eq!(position("0198-17"), Err(NegotiationError::Position));
        assert_eq!(position(&"x".repeat(1025)), Err(NegotiationError::Position));
        assert_eq!(position("%00"), Err(NegotiationError::Position));
    }

    #[test]
    fn an_event_source_need_say_no_more_and_tells_where_it_was() {
        let position = Position::new();
        let ask = |name: &str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, "a/b;q=1, Text/event-stream;q=0.9".parse().unwrap());
            headers.insert(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            Negotiation::read(&"/chat".parse().unwrap(), &headers).unwrap()
        };
        assert_eq!(ask("x-a", "b").transport, Transport::Sse);
        let token = position.token();
        for (name, value) in [
            ("last-event-id", token.clone()),
            ("if-none-match", format!("\"{token}\"")),
            ("if-none-match", format!("W/\"{token}\"")),
        ] {
            assert_eq!(ask(name, &value).position, Some(position.clone()), "{value}");
        }
        for foreign in ["17", "*", "\"abc\"", &"x".repeat(2000)] {
            assert_eq!(ask("last-event-id", foreign).position, None);
            assert_eq!(ask("if-none-match", foreign).position, None);
        }
    }
}
