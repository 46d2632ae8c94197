//! A node inside an axum application, beside its other routes.
//!
//! ```text
//! cargo run --example axum -- [ADDR]
//! ```

use std::error::Error;

use axum::{Router, extract::State, routing::get};
use exosphere::{Close, Message, Node, Session};

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

async fn members(State(node): State<Node>) -> String {
    node.members().current().to_string()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let node = Node::builder("axum").route("/chat/{room}", publish).start().await?;
    let app = Router::new()
        .route("/members", get(members))
        .with_state(node.clone())
        .fallback_service(node.service());
    let listener = tokio::net::TcpListener::bind(addr).await?;
    println!("listening http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
