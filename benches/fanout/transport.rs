//! The transports, as far as a client must know them here.

use std::{
    fmt,
    io::{self, Read, Write},
};

use clap::ValueEnum;

use super::wire;

/// What a client asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Transport {
    #[value(name = "websocket")]
    WebSocket,
    /// As an `EventSource` of a browser asks.
    #[value(name = "sse")]
    EventStream,
    /// As atmosphere.js asks.
    Streaming,
    /// As atmosphere.js asks, by a connection that it keeps.
    LongPolling,
}

impl Transport {
    const ALL: [Self; 4] = [Self::WebSocket, Self::EventStream, Self::Streaming, Self::LongPolling];

    pub(crate) fn to_byte(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.to_byte() == byte)
    }

    /// Asks for what a topic says, and returns what is to be asked when an answer has ended. The
    /// answer is believed.
    pub(crate) fn ask(self, stream: &mut (impl Read + Write), path: &str) -> io::Result<Vec<u8>> {
        if self == Self::WebSocket {
            wire::ask(stream, path)?;
            return Ok(Vec::new());
        }
        stream.write_all(&self.request(path, "0"))?;
        let head = wire::read_head(stream)?;
        let head = String::from_utf8_lossy(&head);
        let id = head.lines().find_map(|line| line.strip_prefix("x-atmosphere-tracking-id: "));
        match id {
            Some(id) if head.starts_with("HTTP/1.1 200 ") => Ok(self.request(path, id)),
            _ => Err(io::Error::other(head.into_owned())),
        }
    }

    fn request(self, path: &str, id: &str) -> Vec<u8> {
        let asked = match self {
            Self::EventStream => return events(path),
            Self::Streaming => "streaming",
            Self::LongPolling | Self::WebSocket => "long-polling",
        };
        let request = format!(
            "GET {path}?X-Atmosphere-tracking-id={id}&X-Atmosphere-Framework=5.0.7&\
             X-Atmosphere-Transport={asked}&X-Atmosphere-TrackMessageSize=true HTTP/1.1\r\n\
             Host: localhost\r\n\r\n"
        );
        request.into_bytes()
    }
}

fn events(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n").into()
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("none is skipped");
        f.pad(value.get_name())
    }
}
