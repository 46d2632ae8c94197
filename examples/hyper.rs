//! A node in a server of one's own, on plain hyper.
//!
//! ```text
//! cargo run --example hyper -- [ADDR]
//! ```

use std::error::Error;

use exosphere::{Close, Message, Node, Session};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let node = Node::builder("hyper").route("/chat/{room}", publish).start().await?;
    let listener = tokio::net::TcpListener::bind(addr).await?;
    println!("listening http://{}", listener.local_addr()?);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let service = node.service();
        connections.spawn(async move {
            let server = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            if let Err(error) = server.await {
                eprintln!("a connection failed: {error}");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
