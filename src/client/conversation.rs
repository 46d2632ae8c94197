//! A bare WebSocket: the task that owns it, between the client and a handler that has it to itself.
//!
//! ```text
//!              the client closes, breaks a rule, or is lost
//!   Talking ------------------------------------------------> Ending
//!      |                                                        ^
//!      +--------------------------------------------------------+
//!              the handler closes, or the node shuts down
//! ```
//!
//! Both directions are held up where they are not taken: a client is read from as far as its handler
//! keeps up, and who has something to say waits for the [`Line`], which is emptied only once what was
//! taken from it before is written. So a slow side costs what fits in the line and the mailbox.

use std::{
    borrow::Cow,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{
    Framing, Incoming, Socket, SocketError,
    alarm::Alarm,
    attachment::{CLOSE_PATIENCE, MAX_MISSED},
    frame,
};
use crate::{
    proto::CloseCode,
    runtime::{Happening, Line, Mailbox, Saying, Tasks, WebSocketEnd, clock},
};

/// What a ping says that is a heartbeat of ours: its answer is not told to the handler.
const HEARTBEAT_PING: &[u8] = b"exosphere";

/// A bare WebSocket.
pub(super) struct Conversation<IO> {
    socket: Socket<IO>,
    line: Arc<Line>,
    mailbox: Arc<Mailbox<Happening>>,
    /// What is to be told to the handler. Until there is room for it, the client is not read from.
    blocked: Option<Happening>,
    /// With what the socket is to be closed, once all that was said before is written.
    closing: Option<(u16, Cow<'static, str>)>,
    heartbeat: Heartbeat,
    alarm: Alarm,
}

/// Whether the client is there, as far as it shows.
struct Heartbeat {
    every: Duration,
    /// Whether the client was asked to show that it is there, and has not.
    is_asked: bool,
    /// For how many heartbeats in a row it has said nothing.
    silent: u32,
    /// For how many heartbeats in a row it has taken nothing, though there was something.
    stuck: u32,
    /// How much it had taken at the last.
    written_bytes: u64,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Conversation<IO> {
    pub(super) fn new(
        socket: Socket<IO>,
        line: Arc<Line>,
        mailbox: Arc<Mailbox<Happening>>,
        every: Duration,
    ) -> Self {
        let alarm = Alarm::new(clock::now() + every);
        let heartbeat = Heartbeat { every, is_asked: false, silent: 0, stuck: 0, written_bytes: 0 };
        Self { socket, line, mailbox, blocked: None, closing: None, heartbeat, alarm }
    }

    /// Serves both sides until one of them is done, or the node shuts down. Once.
    pub(super) async fn run(&mut self, tasks: &Tasks) {
        let mut shutdown = pin!(tasks.cancelled());
        let going = || (CloseCode::GoingAway.get(), "the node is shutting down".into());
        let end = poll_fn(|cx| match shutdown.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(self.close(going())),
            Poll::Pending => self.poll_talk(cx),
        });
        let end = end.await;
        debug!(?end, "the conversation is over");
        self.line.end();
        self.mailbox.post(Happening::Closed(end));
        let closed = poll_fn(|cx| self.socket.poll_shutdown(cx));
        let _ = tokio::time::timeout(CLOSE_PATIENCE, closed).await; // Who is gone is gone.
    }

    fn poll_talk(&mut self, cx: &mut Context<'_>) -> Poll<WebSocketEnd> {
        if let Poll::Ready(end) = self.poll_incoming(cx) {
            return Poll::Ready(end);
        }
        while let Poll::Ready(now) = self.alarm.poll(cx) {
            self.alarm.set(now + self.heartbeat.every);
            if let Some(end) = self.beat() {
                return Poll::Ready(end);
            }
        }
        loop {
            if let Err(error) = ready!(self.socket.poll_flush(cx)) {
                debug!(%error, "the connection broke");
                return Poll::Ready(WebSocketEnd::Lost);
            }
            if let Some(closing) = self.closing.take() {
                return Poll::Ready(self.close(closing));
            }
            // All is written, so that more may be taken.
            ready!(self.poll_line(cx));
        }
    }

    /// Takes all that waits in the line; pending if there is nothing.
    fn poll_line(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut taken = Poll::Pending;
        while self.socket.has_room()
            && let Poll::Ready(saying) = self.line.poll_next(cx)
        {
            taken = Poll::Ready(());
            match saying {
                Saying::Message(message) => self.socket.push(match message.as_text() {
                    Some(text) => frame::text(Framing::Bare, text),
                    None => frame::binary(message.as_bytes()),
                }),
                Saying::Ping(payload) => self.socket.push(frame::ping_of(&payload)),
                Saying::Close { code, reason } => self.closing = Some((code, reason)),
            }
        }
        taken
    }

    /// Reads what the client sends, as far as the handler keeps up.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<WebSocketEnd> {
        loop {
            if let Some(happening) = self.blocked.take() {
                if self.mailbox.poll_room(cx).is_pending() {
                    self.blocked = Some(happening);
                    return Poll::Pending;
                }
                self.mailbox.post(happening);
            }
            let incoming = ready!(self.socket.poll_next(cx));
            self.heartbeat.silent = 0;
            self.blocked = match incoming {
                Incoming::Message(message) => Some(Happening::Message(message)),
                Incoming::Piece { piece, is_last } => Some(Happening::Piece { piece, is_last }),
                Incoming::Ping(payload) => Some(Happening::Ping(payload)),
                Incoming::Pong(payload) => self.handle_pong(payload),
                Incoming::Closed { code, reason } => {
                    return Poll::Ready(WebSocketEnd::Client { code, reason });
                }
                Incoming::Failed(SocketError::Violation(violation)) => {
                    let (code, reason) = (violation.code(), violation.to_string());
                    return Poll::Ready(WebSocketEnd::Violation { code, reason });
                }
                Incoming::Failed(error) => {
                    debug!(%error, "the connection failed");
                    return Poll::Ready(WebSocketEnd::Lost);
                }
            };
        }
    }

    fn handle_pong(&mut self, payload: Bytes) -> Option<Happening> {
        let is_heartbeat = payload == HEARTBEAT_PING && mem::take(&mut self.heartbeat.is_asked);
        (!is_heartbeat).then_some(Happening::Pong(payload))
    }

    /// A heartbeat is due. The end, if the client is given up.
    fn beat(&mut self) -> Option<WebSocketEnd> {
        let (heartbeat, queue) = (&mut self.heartbeat, self.socket.queue());
        let is_stuck = !queue.is_empty() && queue.written_bytes() == heartbeat.written_bytes;
        heartbeat.written_bytes = queue.written_bytes();
        heartbeat.stuck = if is_stuck { heartbeat.stuck + 1 } else { 0 };
        // Who is not read from, because its handler does not keep up, cannot answer.
        heartbeat.silent += u32::from(self.blocked.is_none());
        if heartbeat.silent.max(heartbeat.stuck) > MAX_MISSED {
            let reason = "nothing was heard, or taken, for too long";
            self.socket.start_close(CloseCode::GoingAway.get(), reason);
            return Some(WebSocketEnd::Lost);
        }
        heartbeat.is_asked = true;
        self.socket.push(frame::ping_of(HEARTBEAT_PING));
        None
    }

    fn close(&mut self, (code, reason): (u16, Cow<'static, str>)) -> WebSocketEnd {
        self.socket.start_close(code, &reason);
        WebSocketEnd::Ours { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::{
        client::Reader,
        message::Message,
        proto::Close,
        runtime::{Callee, HEARTBEAT, Over},
    };

    /// Writes down what it is told, and takes so long for each.
    #[derive(Clone, Default)]
    struct Notes {
        told: Arc<Mutex<Vec<String>>>,
        takes: Duration,
    }

    impl Callee<Happening> for Notes {
        fn call(
            &self,
            happening: Happening,
        ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
            Box::pin(async move {
                tokio::time::sleep(self.takes).await;
                self.told.lock().push(format!("{happening:?}"));
                Ok(())
            })
        }

        fn end(&self, _: Close) {}
    }

    /// A conversation and its client, with a pipe of so many bytes between them.
    fn begin(
        notes: &Notes,
        pipe_bytes: usize,
    ) -> (DuplexStream, Arc<Line>, impl Future<Output = Duration> + use<>) {
        let (client, server) = duplex(pipe_bytes);
        let (tasks, line) = (Tasks::default(), Arc::new(Line::new()));
        let mailbox = Arc::new(Mailbox::new(notes.clone(), tasks.clone()));
        let socket = Socket::new(server, Bytes::new(), Reader::in_pieces(1024));
        let mut conversation = Conversation::new(socket, Arc::clone(&line), mailbox, HEARTBEAT);
        let lived = async move {
            let begin = clock::now();
            conversation.run(&tasks).await;
            clock::now() - begin
        };
        (client, line, lived)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_asked_and_then_given_up() {
        let notes = Notes::default();
        let (mut client, line, lived) = begin(&notes, 4096);
        let lived = lived.await;
        assert!(lived > HEARTBEAT * 3 && lived <= HEARTBEAT * 3 + CLOSE_PATIENCE, "{lived:?}");
        let mut written = Vec::new();
        client.read_to_end(&mut written).await.unwrap();
        let pings = written.windows(11).filter(|it| it[..] == *b"\x89\x09exosphere").count();
        assert_eq!(pings, 2);
        assert!(matches!(line.say(Saying::Ping(Bytes::new())).await, Err(Over)));
        assert_eq!(*notes.told.lock(), ["Closed(Lost)"]);
    }

    /// Goal: to talk without end does not help who never reads.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up_whatever_it_says() {
        let (mut client, line, lived) = begin(&Notes::default(), 4096);
        line.say(Saying::Message(Message::binary(vec![0; 10_000]))).await.unwrap();
        let talks = async {
            for _ in 0..HEARTBEAT.as_secs() * 5 {
                client.write_all(b"\x8a\x80mask").await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let lived = tokio::select! {
            lived = lived => lived,
            () = talks => panic!("it is not given up"),
        };
        assert!(lived > HEARTBEAT * 3 && lived <= HEARTBEAT * 4 + CLOSE_PATIENCE, "{lived:?}");
    }

    /// Goal: a handler that takes its time holds up its client and does not lose it.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_taken_for_gone_that_is_not_read_from() {
        let notes = Notes { takes: HEARTBEAT * 4, ..Notes::default() };
        let (mut client, _line, lived) = begin(&notes, 4096);
        let messages = 70; // Some more than may wait.
        let says = async {
            for _ in 0..messages {
                client.write_all(b"\x81\x81\0\0\0\0x").await.unwrap();
            }
            client.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
            client.shutdown().await.unwrap();
            let mut answered = Vec::new();
            client.read_to_end(&mut answered).await.unwrap();
            assert!(answered.ends_with(b"\x88\x00"), "a close without a code");
        };
        let (lived, ()) = tokio::join!(lived, says);
        assert!(lived > HEARTBEAT * 10, "{lived:?}");
        let told = || notes.told.lock().len();
        tokio::time::sleep(notes.takes * messages).await;
        assert_eq!(told(), messages as usize + 1);
        let last = notes.told.lock().pop().unwrap();
        assert!(last.starts_with("Closed(Client { code: 1005"), "{last}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_before_the_end_is_written_before_it() {
        let (mut client, line, lived) = begin(&Notes::default(), 64);
        line.say(Saying::Message(Message::binary(vec![7; 50_000]))).await.unwrap();
        line.close(4001, "done".into());
        let reads = async {
            let mut read = vec![0; 4 + 50_000];
            for piece in read.chunks_mut(5000) {
                // Slower than who only waits for a close has patience.
                tokio::time::sleep(CLOSE_PATIENCE / 4).await;
                client.read_exact(piece).await.unwrap();
            }
            let mut close = [0; 8];
            client.read_exact(&mut close).await.unwrap();
            drop(client);
            (read, close)
        };
        let (_, (read, close)) = tokio::join!(lived, reads);
        assert!(read[4..].iter().all(|&byte| byte == 7));
        assert_eq!(close, *b"\x88\x06\x0f\xa1done");
    }
}
