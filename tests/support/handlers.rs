//! Handlers and filters that tests share.

use exosphere::{Close, Filter, Message, Refusal, Session, TopicName};

/// Publishes what clients say to the topic that is called as the path they asked for.
pub(crate) async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

/// Publishes that in capital letters.
pub(crate) async fn shout(session: Session, message: Message) -> Result<(), Close> {
    let text = message.as_text().unwrap_or_default().to_uppercase();
    session.publish(session.path().as_str(), text).await?;
    Ok(())
}

/// Appends a letter.
pub(crate) fn signed(with: &'static str) -> impl Filter {
    move |_: &TopicName, message: Message| -> Result<Message, Refusal> {
        Ok(format!("{}{with}", message.as_text().unwrap_or_default()).into())
    }
}
