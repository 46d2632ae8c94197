//! The least that it can cost: a loop that writes the same bytes to every socket.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use super::{
    load::{Load, Order},
    rounds::{Scenario, Spent, Watch},
    transport::Transport,
    wire,
};

/// The sockets of a server that is nothing but them.
#[derive(Debug)]
pub(crate) struct Bare {
    streams: Vec<TcpStream>,
}

impl Bare {
    /// Lets `clients` connect.
    pub(crate) fn open(load: &mut Load, clients: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (port, transport) = (listener.local_addr()?.port(), Transport::WebSocket);
        load.open(Order { port, clients, apart: false, transport })?;
        let mut streams = Vec::new();
        for _ in 0..clients {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            wire::answer(&mut stream)?;
            streams.push(stream);
        }
        load.side_channel().read_exact(&mut [0])?;
        Ok(Self { streams })
    }

    /// Sends messages as long as the scenario says.
    pub(crate) fn measure(&mut self, load: &Load, scenario: &Scenario) -> io::Result<Spent> {
        let mut side_channel = load.side_channel();
        let frame = wire::text_frame(&scenario.text());
        let (mut under_way, mut told) = (0, [0; 64]);
        let mut watch = Watch::start(scenario);
        loop {
            while watch.is_running() && under_way < scenario.outstanding {
                for stream in &mut self.streams {
                    stream.write_all(&frame)?;
                }
                under_way += 1;
                watch.count();
            }
            if under_way == 0 {
                return Ok(watch.stop());
            }
            under_way -= match side_channel.read(&mut told)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                told => told,
            };
        }
    }
}
