//! Requests, written out, so that they may be as wrong as a test wants.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{PATIENCE, within};

/// What a request was answered with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

pub(crate) async fn get(http: SocketAddr, path: &str) -> Answer {
    request(http, "GET", path, &[], b"").await
}

pub(crate) async fn post(http: SocketAddr, path: &str, body: &[u8]) -> Answer {
    request(http, "POST", path, &[], body).await
}

/// Sends a request, and receives the answer to its end.
pub(crate) async fn request(
    http: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(http).await.unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            head += &format!("Host: {http}\r\n");
        }
        headers.iter().for_each(|header| head.extend([header, "\r\n"]));
        if method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        let (mut reading, mut writing) = stream.split();
        let mut answer = Vec::new();
        let write = async {
            // Who is refused may be so before all was sent.
            let _ = writing.write_all(head.as_bytes()).await;
            let _ = writing.write_all(body).await;
        };
        let (read, ()) = tokio::join!(reading.read_to_end(&mut answer), write);
        let _ = read; // An answer may be followed by a reset, if not all was read that was sent.
        answer
    };
    let answer = within(PATIENCE, "an answer", exchange).await;
    let answer = String::from_utf8(answer).expect("answers are text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("{head:?}")),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
