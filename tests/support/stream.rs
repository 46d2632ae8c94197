//! Answers that go on, read piece by piece.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{PATIENCE, within};

/// An answer in chunks, of which this has seen the head.
pub(crate) struct Stream {
    stream: TcpStream,
    pub(crate) status: u16,
    head: String,
    /// What was received and not yet taken apart.
    raw: Vec<u8>,
    /// The text of the body that is not yet read.
    body: String,
    has_ended: bool,
}

/// An event of an event stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) id: Option<String>,
}

impl Stream {
    /// Asks, and receives the head of the answer.
    pub(crate) async fn open(http: SocketAddr, target: &str, headers: &[&str]) -> Self {
        Self::try_open(http, target, headers).await.expect("an answer that goes on")
    }

    /// The same; `None` if the connection is refused or ends before the head.
    pub(crate) async fn try_open(http: SocketAddr, target: &str, headers: &[&str]) -> Option<Self> {
        let mut stream = TcpStream::connect(http).await.ok()?;
        let mut head = format!("GET {target} HTTP/1.1\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            head += &format!("Host: {http}\r\n");
        }
        headers.iter().for_each(|header| head.extend([header, "\r\n"]));
        head += "\r\n";
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if within(PATIENCE, "the head of an answer", stream.read_buf(&mut raw)).await.ok()? == 0
            {
                return None;
            }
        };
        let head = String::from_utf8(raw.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Self { stream, status, head, raw, body: String::new(), has_ended: false })
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The session's id.
    pub(crate) fn id(&self) -> String {
        self.header("x-atmosphere-tracking-id").expect("a session has an id").to_owned()
    }

    /// The next event that is not a comment; `None` at the end.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.body.split_once("\r\n\r\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.body = rest;
                if let Some(event) = read_event(&block) {
                    return Some(event);
                }
            }
            self.receive().await?;
        }
    }

    /// The next text that was framed by its length; `None` at the end. White space before it is
    /// padding.
    pub(crate) async fn framed(&mut self) -> Option<String> {
        loop {
            self.body = self.body.trim_start_matches([' ', '\n']).to_owned();
            if let Some((length, rest)) = self.body.split_once('|') {
                let length = length.parse().expect("a length");
                let units: Vec<u16> = rest.encode_utf16().collect();
                if units.len() >= length {
                    let text = String::from_utf16(&units[..length]).unwrap();
                    self.body = String::from_utf16(&units[length..]).unwrap();
                    return Some(text);
                }
            }
            self.receive().await?;
        }
    }

    /// Reads a script to its end, and goes on as if what it hands to the page were the body. If it is not
    /// whole, it does nothing, and neither does this.
    pub(crate) async fn script(&mut self, callback: &str) {
        let script = self.rest().await;
        let quoted = script
            .strip_prefix(&format!("/**/{callback}({{\"message\" : "))
            .and_then(|rest| rest.strip_suffix("});"));
        self.body = quoted.map(|it| serde_json::from_str(it).unwrap()).unwrap_or_default();
    }

    /// The rest of the answer.
    pub(crate) async fn rest(&mut self) -> String {
        while self.receive().await.is_some() {}
        std::mem::take(&mut self.body)
    }

    /// Receives one more chunk into the body; `None` at the end.
    async fn receive(&mut self) -> Option<()> {
        while !self.has_ended {
            if let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") {
                let size = str::from_utf8(&self.raw[..end]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.raw.len() >= end + 2 + size + 2 {
                    let chunk: Vec<u8> = self.raw.drain(..end + 2 + size + 2).collect();
                    self.body += str::from_utf8(&chunk[end + 2..end + 2 + size]).unwrap();
                    self.has_ended = size == 0;
                    return (size > 0).then_some(());
                }
            }
            let read = self.stream.read_buf(&mut self.raw);
            if within(PATIENCE, "the next piece of an answer", read).await.ok()? == 0 {
                return None;
            }
        }
        None
    }
}

fn read_event(block: &str) -> Option<Event> {
    let (mut data, mut id, mut kind) = (Vec::new(), None, "message");
    for line in block.split("\r\n") {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "id" => id = Some(value.to_owned()),
            "event" => kind = value,
            _ => {}
        }
    }
    (!data.is_empty()).then(|| Event { kind: kind.to_owned(), data: data.join("\n"), id })
}
