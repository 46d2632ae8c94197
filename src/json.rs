//! Handlers that take and give values instead of messages.

use std::{fmt, future::Future, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    handler::Handler,
    message::Message,
    proto::{Close, CloseCode},
    reply::Reply,
    session::Session,
};

/// A handler of values: what a client sends is read as JSON, and what `answer` returns is sent as
/// JSON to where the [`Reply`] says.
///
/// Several kinds of messages are an `enum`. What cannot be read is not handed over: its client, and
/// nobody else, is sent `{"error": "..."}`, and may go on.
///
/// # Examples
///
/// ```
/// use exosphere::{Close, Node, Reply, Session, json};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// #[serde(tag = "type", rename_all = "lowercase")]
/// enum Said {
///     Line { text: String },
///     Ask,
/// }
///
/// #[derive(Serialize)]
/// struct Told {
///     text: String,
/// }
///
/// async fn answer(session: Session, said: Said) -> Result<Reply<Told>, Close> {
///     Ok(match said {
///         Said::Line { text } => Reply::Topic(Told { text }),
///         Said::Ask => Reply::Session(Told { text: format!("this is {}", session.path()) }),
///     })
/// }
///
/// let builder = Node::builder("chat").route("/chat/{room}", json(answer));
/// # drop(builder);
/// ```
pub fn json<F, Fut, In, Out>(answer: F) -> Json<F, In, Out>
where
    F: Fn(Session, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<Out>, Close>> + Send,
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
{
    Json { answer, types: PhantomData }
}

/// A handler of values: see [`json`].
pub struct Json<F, In, Out> {
    answer: F,
    types: PhantomData<fn(In) -> Out>,
}

impl<F, Fut, In, Out> Handler for Json<F, In, Out>
where
    F: Fn(Session, In) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reply<Out>, Close>> + Send,
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
{
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        let value = match serde_json::from_slice(message.as_bytes()) {
            Ok(value) => value,
            Err(error) => {
                session.send(write(&Misread { error: error.to_string() })?).await?;
                return Ok(());
            }
        };
        match (self.answer)(session.clone(), value).await? {
            Reply::Nothing => {}
            Reply::Session(value) => drop(session.send(write(&value)?).await?),
            Reply::Topic(value) => {
                drop(session.publish(session.path().as_str(), write(&value)?).await?);
            }
            Reply::Everyone(value) => session.publish_everywhere(write(&value)?.into()).await?,
        }
        Ok(())
    }
}

impl<F, In, Out> fmt::Debug for Json<F, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

/// What a client is told whose message could not be read.
#[derive(Serialize)]
struct Misread {
    error: String,
}

/// The client of a handler that returns what is no JSON is told that something went wrong here.
fn write(value: &impl Serialize) -> Result<String, Close> {
    let failed = |err: serde_json::Error| Close::new(CloseCode::Internal, err.to_string());
    serde_json::to_string(value).map_err(failed)
}
