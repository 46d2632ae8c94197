//! A node, and a publisher in its process.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use exosphere::{Builder, Close, Message, Node, Session, Topic};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    runtime::{self, Runtime},
};

use super::{
    load::{Load, Order},
    rounds::{Scenario, Spent, Watch},
    transport::Transport,
};

/// How long a node may see to what it put off while the others had their turn.
const SETTLE: Duration = Duration::from_millis(200);

/// A node that serves a chat.
#[derive(Debug)]
pub(crate) struct Served {
    runtime: Runtime,
    node: Node,
    port: u16,
    _home: TempDir,
}

impl Served {
    /// Starts a node that is alone in its cluster.
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_as(|builder| builder)
    }

    /// The same, with nothing that is there only to be looked at.
    pub(crate) fn start_unwatched() -> io::Result<Self> {
        let served = Self::start_as(|builder| builder.flight_recorder(0, 0))?;
        served.node.count_statistics(false);
        Ok(served)
    }

    /// The same, with all that there is to be looked at, and somebody who follows what happens.
    pub(crate) fn start_watched() -> io::Result<Self> {
        let served = Self::start()?;
        let mut events = served.node.events();
        served.runtime.spawn(async move { while events.next().await.is_some() {} });
        Ok(served)
    }

    fn start_as(set: impl FnOnce(Builder) -> Builder) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let home = tempfile::tempdir()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let node = Node::builder(format!("fanout-{}-{port}", std::process::id()))
            .secret_file(home.path().join("secret"))
            .route("/chat/{room}", publish);
        let node = runtime.block_on(set(node).start()).map_err(io::Error::other)?;
        let server = node.clone();
        runtime.spawn(async move { server.serve_listener(listener).await });
        Ok(Self { runtime, node, port, _home: home })
    }

    /// Lets `clients` connect: each in a room of its own, or all in one.
    pub(crate) fn open(
        &self,
        load: &mut Load,
        transport: Transport,
        clients: u16,
        apart: bool,
    ) -> io::Result<()> {
        load.open(Order { port: self.port, clients, apart, transport })?;
        let mut side_channel = self.side_channel(load)?;
        self.runtime.block_on(side_channel.read_exact(&mut [0]))?;
        self.rest(SETTLE);
        Ok(())
    }

    /// Publishes messages as long as the scenario says.
    pub(crate) fn measure(&self, load: &Load, scenario: &Scenario) -> io::Result<Spent> {
        let mut side_channel = self.side_channel(load)?;
        let topic = self.node.topic("/chat/all").map_err(io::Error::other)?;
        self.rest(SETTLE);
        let spent = self.runtime.block_on(measure(&topic, &mut side_channel, scenario));
        drop(side_channel);
        load.side_channel().set_nonblocking(false)?;
        spent
    }

    /// Lets the node be.
    pub(crate) fn rest(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    fn side_channel(&self, load: &Load) -> io::Result<UnixStream> {
        let side_channel = load.side_channel().try_clone()?;
        side_channel.set_nonblocking(true)?;
        let _entered = self.runtime.enter();
        UnixStream::from_std(side_channel)
    }
}

async fn measure(
    topic: &Topic,
    side_channel: &mut UnixStream,
    scenario: &Scenario,
) -> io::Result<Spent> {
    let text = scenario.text();
    let (mut under_way, mut told) = (0, [0; 64]);
    let mut watch = Watch::start(scenario);
    loop {
        while watch.is_running() && under_way < scenario.outstanding {
            topic.publish(text.as_str()).await.map_err(io::Error::other)?;
            under_way += 1;
            watch.count();
        }
        if under_way == 0 {
            return Ok(watch.stop());
        }
        under_way -= match side_channel.read(&mut told).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            told => told,
        };
    }
}

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}
