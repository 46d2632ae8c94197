//! The ways in which a client can be connected.

/// How a client is connected, or what it wants if it is not.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Transport {
    /// A WebSocket.
    WebSocket,
    /// An event stream, as `EventSource` reads it.
    Sse,
    /// A response that never ends.
    Streaming,
    /// A request that is answered once there is something to say.
    LongPolling,
    /// A long poll whose answer is a script.
    Jsonp,
    /// A request that is answered at once; also a client's way of sending.
    Polling,
    /// A call of gRPC, of which there is no request of its own for each session.
    #[cfg(feature = "grpc")]
    Grpc,
    /// The client goes away, and says so.
    Close,
    /// None of these, or none was named. The request is never held.
    #[default]
    Undefined,
}

impl Transport {
    /// Whether each answer takes a request.
    pub(crate) fn is_polled(self) -> bool {
        matches!(self, Self::LongPolling | Self::Jsonp | Self::Polling)
    }

    /// Reads a transport's name, in upper or lower case, with `-` or `_`.
    pub(crate) fn read(name: &str) -> Self {
        const NAMES: [(&str, Transport); 7] = [
            ("websocket", Transport::WebSocket),
            ("sse", Transport::Sse),
            ("streaming", Transport::Streaming),
            ("long-polling", Transport::LongPolling),
            ("jsonp", Transport::Jsonp),
            ("polling", Transport::Polling),
            ("close", Transport::Close),
        ];
        let name = name.replace('_', "-");
        let named = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        named.map_or(Self::Undefined, |(_, transport)| *transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_leniently() {
        assert_eq!(Transport::read("long_polling"), Transport::LongPolling);
        assert_eq!(Transport::read("LONG-POLLING"), Transport::LongPolling);
        assert_eq!(Transport::read("WebSocket"), Transport::WebSocket);
        for unknown in ["", "AJAX", "webtransport", "web socket", "sse "] {
            assert_eq!(Transport::read(unknown), Transport::Undefined, "{unknown:?}");
        }
    }
}
