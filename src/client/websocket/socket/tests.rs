//! A socket, with the reference client at the other end of a pipe.

use std::{future::poll_fn, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{
        CloseFrame, Message as Frame, Role,
        frame::{Frame as RawFrame, coding},
    },
};

use super::*;
use crate::client::Framing;

const LIMIT: usize = 64 * 1024;
const SOON: Duration = Duration::from_secs(5);

type Near = Socket<DuplexStream>;
type Far = WebSocketStream<DuplexStream>;

/// A socket and its client, with a pipe between them that holds `pipe_bytes`.
async fn pair(pipe_bytes: usize) -> (Near, Far) {
    let (near, far) = duplex(pipe_bytes);
    let far = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (Socket::new(near, Bytes::new(), Reader::new(LIMIT)), far)
}

/// What comes next, while whatever is to be written is written.
async fn next(socket: &mut Near) -> Incoming {
    let next = poll_fn(|cx| {
        let polled = socket.poll_next(cx);
        let _ = socket.poll_flush(cx);
        polled
    });
    timeout(SOON, next).await.expect("something comes")
}

async fn flush(socket: &mut Near) {
    timeout(SOON, poll_fn(|cx| socket.poll_flush(cx))).await.expect("all is taken").unwrap();
}

async fn shut_down(socket: &mut Near) {
    let _ = timeout(SOON, poll_fn(|cx| socket.poll_shutdown(cx))).await.expect("the client ends");
}

/// All that a client receives until the connection ends. Then it goes away.
async fn all(mut far: Far) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = timeout(SOON, far.next()).await.expect("the server ends") {
        frames.push(frame);
    }
    frames
}

fn data(opcode: coding::Data, is_final: bool, payload: &[u8]) -> Frame {
    let opcode = coding::OpCode::Data(opcode);
    Frame::Frame(RawFrame::message(payload.to_vec(), opcode, is_final))
}

fn close(code: u16, reason: &str) -> Frame {
    Frame::Close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() }))
}

/// Goal: frames of ours and answers to pings go through one queue whole, however little the
/// connection takes at once.
///
/// Method: 2,000 texts and 200 pings over a pipe of 64 bytes, both ways at once.
#[tokio::test]
async fn frames_are_never_torn() {
    let (mut near, far) = pair(64).await;
    let (mut sink, mut stream) = far.split();
    let server = async {
        let (mut sent, mut pings) = (0, 0);
        poll_fn(|cx| {
            while let Poll::Ready(incoming) = near.poll_next(cx) {
                assert!(matches!(incoming, Incoming::Ping(_)), "{incoming:?}");
                pings += 1;
            }
            while sent < 2_000 {
                near.push(frame::text(Framing::Length, &format!("{sent:0100}")));
                sent += 1;
                if near.queue().pushed_bytes() % 7 == 0 && near.poll_flush(cx)?.is_pending() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            ready!(near.poll_flush(cx))?;
            match pings {
                200 => Poll::Ready(io::Result::Ok(())),
                _ => Poll::Pending,
            }
        })
        .await
        .unwrap();
        near.start_close(1000, "done");
        assert!(matches!(next(&mut near).await, Incoming::Closed { code: 1000, .. }));
        shut_down(&mut near).await;
    };
    let pings = async {
        for number in 0..200_u32 {
            sink.send(Frame::Ping(number.to_be_bytes().to_vec().into())).await.unwrap();
        }
        drop(sink);
    };
    let reading = async {
        let (mut texts, mut pongs) = (0, 0);
        while let Some(Ok(frame)) = stream.next().await {
            match frame {
                Frame::Text(text) => {
                    assert_eq!(text.as_str(), format!("100|{texts:0100}"));
                    texts += 1;
                }
                Frame::Pong(_) => pongs += 1,
                Frame::Close(close) => assert_eq!(close.unwrap().reason.as_str(), "done"),
                other => panic!("{other:?}"),
            }
        }
        drop(stream);
        (texts, pongs)
    };
    let (_, _, (texts, pongs)) =
        timeout(SOON * 4, async { tokio::join!(server, pings, reading) }).await.unwrap();
    assert_eq!((texts, pongs), (2_000, 200));
}

#[tokio::test]
async fn messages_come_whole_and_in_order() {
    let (mut near, mut far) = pair(64).await;
    let long = "\u{e9}".repeat(LIMIT / 2);
    let client = async {
        far.send(Frame::text("one")).await.unwrap();
        far.send(data(coding::Data::Text, false, b"tw")).await.unwrap();
        far.send(Frame::Pong(7_u64.to_be_bytes().to_vec().into())).await.unwrap();
        far.send(data(coding::Data::Continue, false, b"")).await.unwrap();
        far.send(data(coding::Data::Continue, true, b"o")).await.unwrap();
        far.send(Frame::Pong("mine".into())).await.unwrap();
        far.send(Frame::text(long.as_str())).await.unwrap();
        far.send(Frame::binary(vec![0xff; 3])).await.unwrap();
        far.send(Frame::text("")).await.unwrap();
    };
    let server = async {
        let mut came = Vec::new();
        for _ in 0..7 {
            came.push(next(&mut near).await);
        }
        came
    };
    let (_, came) = tokio::join!(client, server);
    let [one, pong, two, foreign, three, binary, empty] = came.try_into().unwrap();
    let text = |incoming| match incoming {
        Incoming::Message(message) => message.as_text().unwrap().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!([text(one), text(two), text(three), text(empty)], ["one", "two", &long, ""]);
    assert!(matches!(pong, Incoming::Pong(payload) if frame::pong_number(&payload) == Some(7)));
    assert!(matches!(foreign, Incoming::Pong(payload) if frame::pong_number(&payload).is_none()));
    assert!(matches!(binary, Incoming::Message(message) if !message.is_text()));
}

#[tokio::test]
async fn a_ping_of_ours_comes_back_with_its_number() {
    let (mut near, mut far) = pair(1024).await;
    near.push(frame::text(Framing::Bare, "before"));
    near.push(frame::ping(u64::MAX));
    let (incoming, _) = tokio::join!(next(&mut near), async {
        assert_eq!(far.next().await.unwrap().unwrap(), Frame::text("before"));
        assert!(far.next().await.unwrap().unwrap().is_ping());
        far.flush().await.unwrap();
    });
    let Incoming::Pong(payload) = incoming else { panic!("{incoming:?}") };
    assert_eq!(frame::pong_number(&payload), Some(u64::MAX));
}

#[tokio::test]
async fn a_client_that_closes_gets_its_code_back() {
    for (sent, code, reason) in [
        (close(4001, "bye"), 4001, "bye"),
        (Frame::Close(None), 1005, ""),
        (close(1000, ""), 1000, ""),
    ] {
        let (mut near, mut far) = pair(1024).await;
        far.send(sent).await.unwrap();
        match next(&mut near).await {
            Incoming::Closed { code: came, reason: why } => {
                assert_eq!((came, &*why), (code, reason))
            }
            other => panic!("{other:?}"),
        }
        assert!(!near.is_open());
        let pushed_bytes = near.queue().pushed_bytes();
        near.push(frame::text(Framing::Bare, "too late"));
        assert_eq!(near.queue().pushed_bytes(), pushed_bytes);
        let (frames, ()) = tokio::join!(all(far), shut_down(&mut near));
        let [Frame::Close(close)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(close.as_ref().map_or(1005, |close| close.code.into()), code);
    }
}

#[tokio::test]
async fn a_close_of_ours_comes_after_what_was_sent_and_is_answered() {
    let (mut near, far) = pair(64).await;
    near.push(frame::text(Framing::Bare, "last"));
    near.start_close(1001, &"\u{e9}".repeat(100));
    near.start_close(1011, "a second close changes nothing");
    let server = async {
        let incoming = next(&mut near).await;
        shut_down(&mut near).await;
        incoming
    };
    let (frames, incoming) = tokio::join!(all(far), server);
    assert_eq!(frames[0], Frame::text("last"));
    assert_eq!(frames[1], close(1001, &"\u{e9}".repeat(61)));
    assert_eq!(frames.len(), 2);
    assert!(matches!(incoming, Incoming::Closed { code: 1001, .. }));
}

#[tokio::test]
async fn what_was_on_its_way_when_we_closed_still_comes() {
    let (mut near, mut far) = pair(1024).await;
    near.start_close(1013, "");
    far.send(Frame::text("crossing")).await.unwrap();
    assert!(matches!(next(&mut near).await, Incoming::Message(_)));
    let _ = far.next().await;
    far.flush().await.unwrap_or_default();
    assert!(matches!(next(&mut near).await, Incoming::Closed { code: 1013, .. }));
}

#[tokio::test]
async fn who_breaks_a_rule_is_told_and_let_go() {
    let cases: [(Vec<u8>, u16); 5] = [
        (b"\x81\x02hi".to_vec(), 1002),
        (b"\xc1\x82\0\0\0\0hi".to_vec(), 1002),
        (b"\x81\x81\0\0\0\0\xff".to_vec(), 1007),
        (b"\x82\xff\0\0\0\0\0\x01\0\x01\0\0\0\0".to_vec(), 1009),
        (b"\x8f\x80\0\0\0\0".to_vec(), 1002),
    ];
    for (bytes, code) in cases {
        let (near, mut far) = duplex(1024);
        let mut near = Socket::new(near, Bytes::new(), Reader::new(LIMIT));
        far.write_all(&bytes).await.unwrap();
        far.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        let Incoming::Failed(SocketError::Violation(violation)) = next(&mut near).await else {
            panic!("{bytes:?}")
        };
        assert_eq!(violation.code(), code);
        // Nothing is read any more, not even the ping.
        assert!(
            timeout(Duration::from_millis(10), poll_fn(|cx| near.poll_next(cx))).await.is_err()
        );
        let client = async {
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            drop(far);
            answer
        };
        let (answer, ()) = tokio::join!(client, shut_down(&mut near));
        assert_eq!(answer, frame::close(code, &violation.to_string()));
    }
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let (mut near, far) = pair(64).await;
    near.push(frame::binary(&[0; 1000]));
    drop(far);
    assert!(matches!(next(&mut near).await, Incoming::Failed(_)));
    shut_down(&mut near).await;
}

/// Goal: who pings and does not read the answers costs no more than anyone else.
#[tokio::test]
async fn a_flood_of_pings_is_answered_within_the_limit() {
    let (mut near, mut far) = duplex(1024);
    let mut socket = Socket::new(&mut near, Bytes::new(), Reader::new(LIMIT));
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.extend([0x89, 0x80 | 125, 0, 0, 0, 0]);
        flood.extend([b'x'; 125]);
    }
    for _ in 0..100 {
        let reading = poll_fn(|cx| {
            while let Poll::Ready(incoming) = socket.poll_next(cx) {
                assert!(matches!(incoming, Incoming::Ping(_)));
            }
            let _ = socket.poll_flush(cx);
            Poll::<()>::Pending
        });
        tokio::select! {
            biased;
            () = reading => {}
            written = far.write_all(&flood) => written.unwrap(),
        }
        assert!(socket.queue().pushed_bytes() - socket.queue().written_bytes() < 257 * 1024);
    }
    assert!(!socket.has_room() && socket.pong.is_some());
}

#[tokio::test]
async fn what_came_with_the_upgrade_is_read_first() {
    let (near, _far) = duplex(64);
    let early = Bytes::from_static(b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0\x81\x85\0\0");
    let mut near = Socket::new(near, early, Reader::new(LIMIT));
    assert!(matches!(next(&mut near).await, Incoming::Message(message) if message.len() == 2));
    assert!(matches!(next(&mut near).await, Incoming::Ping(_)));
    assert!(timeout(Duration::from_millis(10), next(&mut near)).await.is_err());
    assert!(near.unread.is_empty() && near.reader.is_within_message());
}

#[tokio::test]
async fn an_idle_socket_is_small() {
    let (mut near, mut far) = pair(64).await;
    let (incoming, sent) = tokio::join!(next(&mut near), far.send(Frame::binary(vec![1; LIMIT])));
    assert!(sent.is_ok() && matches!(incoming, Incoming::Message(_)));
    for _ in 0..100 {
        near.push(frame::binary(&[0; 100]));
    }
    let reading = async {
        for _ in 0..100 {
            far.next().await.unwrap().unwrap();
        }
    };
    tokio::join!(flush(&mut near), reading);
    assert!(near.unread.is_empty() && !near.reader.is_within_message());
    assert!(size_of::<Socket<()>>() <= 256, "{}", size_of::<Socket<()>>());
}
