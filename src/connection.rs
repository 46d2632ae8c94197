//! How a client is connected.

mod request;

pub use request::ClientRequest;

/// How a client is connected to this node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Connection {
    /// By which transport.
    pub transport: Transport,
    /// By what it is known that the client has what it was sent.
    pub evidence: Evidence,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 6] = [
        Self::WebSocket,
        Self::EventStream,
        Self::Streaming,
        Self::LongPolling,
        Self::Jsonp,
        Self::Grpc,
    ];

    /// Its name in reports and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Streaming => "streaming",
            Self::LongPolling => "long_polling",
            Self::Jsonp => "jsonp",
            Self::Grpc => "grpc",
        }
    }
}

impl Evidence {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Pong => "pong",
            Self::NextRequest => "next_request",
            Self::Client => "client",
        }
    }
}

impl Connection {
    pub(crate) fn new(transport: Transport, evidence: Evidence) -> Self {
        Self { transport, evidence }
    }
}

/// A way in which clients are connected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// An event stream, as `EventSource` reads it.
    EventStream,
    /// A response that never ends.
    Streaming,
    /// A request that is answered once there is something to say.
    LongPolling,
    /// A long poll whose answer is a script.
    Jsonp,
    /// A call of gRPC.
    Grpc,
}

/// By what it is known that a client has what it was sent, the weakest first.
///
/// Whatever it is, what is not known to have arrived is sent again when the client is back.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Evidence {
    /// It was written, and the connection stayed sound for half a minute after that.
    Written,
    /// The client answered a ping that was written behind it: it has arrived, though the application
    /// may not have seen it.
    Pong,
    /// The client asked for what comes after it, or said where it is.
    NextRequest,
    /// The client said so once its application had it.
    Client,
}
