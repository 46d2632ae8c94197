//! The README's program: run it twice, on two ports, and it is a cluster.

use exosphere::{Close, Handler, Message, Node, Session};

struct Chat;

impl Handler for Chat {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        session.join("/chat/lobby").await?;
        Ok(())
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        session.publish("/chat/lobby", message).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), exosphere::Error> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let node = Node::builder("chat").route("/chat", Chat).start().await?;
    node.serve(addr).await?;
    Ok(())
}
