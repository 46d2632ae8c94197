//! What nodes ask each other beside the journal: a question and its answer, on a stream of their own.
//!
//! Nothing that sessions need travels here, so its streams give way to all others.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use std::sync::OnceLock;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::id::NodeId;

/// How long a node waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The longest that a question may be, in bytes: a message and what it is for.
const MAX_QUESTION_BYTES: usize = 2 << 20;

/// The longest that an answer may be, in bytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// How many questions a node answers at a time. Further ones wait.
const MAX_ANSWERING: usize = 8;

/// The priority of questions and answers: below all lanes.
const PRIORITY: i32 = -20;

/// What a stream begins with that carries a question.
const QUESTION: u8 = 1;

/// The code that a stream is reset with by who has nobody to answer.
const NOBODY: u32 = 0x40;

/// What an answer is once it is there.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Bytes> + Send + 'a>>;

/// Who answers what peers ask.
pub(crate) trait Answerer: Send + Sync {
    /// The answer to what `from` asks, which may be any bytes whatever.
    fn answer(&self, from: NodeId, question: Bytes) -> Answer<'_>;
}

/// What nodes ask each other.
pub(crate) struct Questions {
    answerer: OnceLock<Arc<dyn Answerer>>,
    links: Mutex<BTreeMap<NodeId, Connection>>,
    answering: Semaphore,
}

impl Questions {
    pub(super) fn new() -> Self {
        let answering = Semaphore::new(MAX_ANSWERING);
        Self { answerer: OnceLock::new(), links: Mutex::default(), answering }
    }

    /// Who answers from now on. Only once.
    pub(super) fn set_answerer(&self, answerer: Arc<dyn Answerer>) {
        let _ = self.answerer.set(answerer); // There is one at most.
    }

    /// The connection that a peer is asked on, or none any more.
    pub(super) fn set_link(&self, peer: NodeId, link: Option<Connection>) {
        match link {
            Some(connection) => self.links.lock().insert(peer, connection),
            None => self.links.lock().remove(&peer),
        };
    }

    /// The connections to peers.
    pub(super) fn links(&self) -> Vec<(NodeId, Connection)> {
        let links = self.links.lock();
        links.iter().map(|(&peer, connection)| (peer, connection.clone())).collect()
    }

    /// Asks a peer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing back: the peer may do what it was asked for.
    pub(super) async fn ask(&self, peer: NodeId, question: Bytes) -> Result<Bytes, AskError> {
        if question.len() > MAX_QUESTION_BYTES {
            return Err(AskError::TooLong);
        }
        let link = self.links.lock().get(&peer).cloned().ok_or(AskError::NoLink)?;
        let asked = tokio::time::timeout(PATIENCE, exchange(&link, question));
        asked.await.map_err(|_| AskError::Late)?
    }

    /// Answers what `peer` asks on a stream.
    pub(super) async fn answer(&self, peer: NodeId, stream: (SendStream, RecvStream)) {
        let (mut send, mut receive) = stream;
        // What fails here fails at the peer too, which knows then that there is no answer.
        let _: Result<(), AskError> = async {
            let Some(answerer) = self.answerer.get() else {
                let _ = send.reset(NOBODY.into()); // It fails only if the stream is gone.
                return Ok(());
            };
            let patience = tokio::time::timeout(PATIENCE, read(&mut receive, MAX_QUESTION_BYTES));
            let mut question = patience.await.map_err(|_| AskError::Late)??;
            if question.is_empty() || question.split_to(1)[0] != QUESTION {
                let _ = send.reset(NOBODY.into()); // One of a later version.
                return Ok(());
            }
            let permit = self.answering.acquire().await;
            let answer = answerer.answer(peer, question).await;
            drop(permit);
            let _ = send.set_priority(PRIORITY); // It fails only if the stream is gone.
            send.write_all_chunks(&mut [answer]).await?;
            let _ = send.finish();
            Ok(())
        }
        .await;
    }
}

impl fmt::Debug for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

async fn exchange(link: &Connection, question: Bytes) -> Result<Bytes, AskError> {
    let (mut send, mut receive) = link.open_bi().await?;
    let _ = send.set_priority(PRIORITY); // It fails only if the stream is gone.
    send.write_all_chunks(&mut [Bytes::from_static(&[QUESTION]), question]).await?;
    let _ = send.finish();
    read(&mut receive, MAX_ANSWER_BYTES).await
}

/// Reads a stream to its end, in order.
async fn read(stream: &mut RecvStream, limit: usize) -> Result<Bytes, AskError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.read_chunk(limit, true).await? {
        whole.extend_from_slice(&chunk.bytes);
        if whole.len() > limit {
            return Err(AskError::TooLong);
        }
    }
    Ok(whole.freeze())
}

/// Why a peer did not answer. What it was asked to do, if anything, may be done all the same.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// It did not answer within a second. Asking again may help.
    #[error("it did not answer within a second")]
    Late,
    /// There is no link to it. It may be gone; asking again helps once it is back.
    #[error("there is no link to it")]
    NoLink,
    /// What it answered cannot be understood: it is of another version. Asking again does not help.
    #[error("its answer cannot be understood")]
    Malformed,
    /// It answered that it could not do what it was asked for, and why.
    #[error("{0}")]
    Refused(String),
    /// The question, or its answer, is too long. Asking for less helps.
    #[error("the question or the answer is too long")]
    TooLong,
    /// The link ended, or the peer is of a version that cannot answer. Asking again may help.
    #[error("it cannot answer: {0}")]
    Unanswered(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<ConnectionError> for AskError {
    fn from(error: ConnectionError) -> Self {
        Self::Unanswered(error.into())
    }
}

impl From<ReadError> for AskError {
    fn from(error: ReadError) -> Self {
        Self::Unanswered(error.into())
    }
}

impl From<WriteError> for AskError {
    fn from(error: WriteError) -> Self {
        Self::Unanswered(error.into())
    }
}
