//! The clients: thousands of connections in one loop, which count what comes, answer pings, and poll
//! again.
//!
//! On the side channel, which is the standard input, the server says what to open ([`Order`]), and
//! the clients say with one byte that it is done, and then with one byte each that all of them have
//! one message more.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    process::{Child, Stdio},
};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::{
    answer::Answer,
    machine::{self, Processor},
    transport::Transport,
    wire::{self, Came, Frames, opcode},
};

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// How many sockets are asked about at once.
const EVENTS: usize = 1_024;

/// How many messages can be under way.
pub(crate) const MAX_OUTSTANDING: usize = 64;

/// What the side channel is called among the sockets.
const SIDE_CHANNEL: u64 = u64::MAX;

/// Connections to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) port: u16,
    pub(crate) clients: u16,
    /// Whether each client has a room of its own, and says something there; otherwise all are in
    /// the same room and listen.
    pub(crate) apart: bool,
    pub(crate) transport: Transport,
}

impl Order {
    const BYTES: usize = 6;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let ([a, b], [c, d]) = (self.port.to_be_bytes(), self.clients.to_be_bytes());
        [a, b, c, d, u8::from(self.apart), self.transport.to_byte()]
    }

    fn from_bytes([a, b, c, d, apart, transport]: [u8; Self::BYTES]) -> Self {
        let (port, clients) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let transport = Transport::from_byte(transport).expect("the server knows no other");
        Self { port, clients, apart: apart != 0, transport }
    }
}

/// The process with the clients, as the server sees it.
#[derive(Debug)]
pub(crate) struct Load {
    side_channel: UnixStream,
    child: Child,
}

impl Load {
    pub(crate) fn start() -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        let mut command = machine::this_program("load")?;
        let child = command.stdin(Stdio::from(std::os::fd::OwnedFd::from(far))).spawn()?;
        Ok(Self { side_channel: near, child })
    }

    /// Asks for connections. What comes next on the side channel says that they are there.
    pub(crate) fn open(&mut self, order: Order) -> io::Result<()> {
        self.side_channel.write_all(&order.to_bytes())
    }

    /// Where the clients say what they have.
    pub(crate) fn side_channel(&self) -> &UnixStream {
        &self.side_channel
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.side_channel.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait(); // It ends on its own.
    }
}

/// Is the clients, until the server is gone.
pub(crate) fn run() -> io::Result<()> {
    Processor::Clients.keep()?;
    let side_channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &side_channel, EventData::new_u64(SIDE_CHANNEL), EventFlags::IN)?;
    let mut crowd = Crowd { poll, side_channel, clients: Vec::new(), groups: Vec::new() };
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        epoll::wait(&crowd.poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let event: epoll::Event = event;
            match event.data.u64() {
                SIDE_CHANNEL => {
                    let mut order = [0; Order::BYTES];
                    if crowd.side_channel.read_exact(&mut order).is_err() {
                        return Ok(()); // The server is gone.
                    }
                    crowd.open(Order::from_bytes(order))?;
                }
                number => crowd.read(number as usize, &mut buffer)?,
            }
        }
        crowd.tell()?;
    }
}

/// All clients.
struct Crowd {
    poll: std::os::fd::OwnedFd,
    side_channel: UnixStream,
    clients: Vec<Client>,
    groups: Vec<Group>,
}

/// Clients that are to get the same messages.
struct Group {
    clients: u32,
    /// How many lack each message, the number of which is counted round.
    missing: [u32; MAX_OUTSTANDING],
    /// How many messages all have that the server was not told of.
    untold: usize,
}

struct Client {
    stream: TcpStream,
    hears: Hears,
    group: usize,
    received: usize,
}

/// How a client hears.
enum Hears {
    Frames(Frames),
    /// Asks this when an answer has ended.
    Answers(Answer, Vec<u8>),
}

impl Crowd {
    fn open(&mut self, order: Order) -> io::Result<()> {
        let group = self.groups.len();
        for number in 0..order.clients {
            let mut client = Client::connect(order, number, group)?;
            if order.apart && order.transport == Transport::WebSocket {
                client.say_and_hear()?;
            }
            let data = EventData::new_u64(self.clients.len() as u64);
            epoll::add(&self.poll, &client.stream, data, EventFlags::IN)?;
            self.clients.push(client);
        }
        let clients = u32::from(order.clients);
        self.groups.push(Group { clients, missing: [clients; MAX_OUTSTANDING], untold: 0 });
        self.side_channel.write_all(&[0])
    }

    fn read(&mut self, number: usize, buffer: &mut [u8]) -> io::Result<()> {
        let client = &mut self.clients[number];
        let group = &mut self.groups[client.group];
        let count = client.stream.read(buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for _ in 0..client.hear(&buffer[..count])? {
            group.count(client.received);
            client.received += 1;
        }
        Ok(())
    }

    fn tell(&mut self) -> io::Result<()> {
        for group in &mut self.groups {
            let untold = std::mem::take(&mut group.untold);
            if untold > 0 {
                self.side_channel.write_all(&[0; MAX_OUTSTANDING][..untold])?;
            }
        }
        Ok(())
    }
}

impl Group {
    /// One client more has the message with this number.
    fn count(&mut self, number: usize) {
        let missing = &mut self.missing[number % MAX_OUTSTANDING];
        *missing -= 1;
        if *missing == 0 {
            *missing = self.clients;
            self.untold += 1;
        }
    }
}

impl Client {
    fn connect(order: Order, number: u16, group: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, order.port))?;
        stream.set_nodelay(true)?;
        let path = match order.apart {
            true => format!("/chat/{group}-{number}"),
            false => "/chat/all".to_owned(),
        };
        let again = order.transport.ask(&mut stream, &path)?;
        let hears = match order.transport {
            Transport::WebSocket => Hears::Frames(Frames::default()),
            _ => Hears::Answers(Answer::default(), again),
        };
        Ok(Self { stream, hears, group, received: 0 })
    }

    /// How many messages are in what came. What is to be answered is.
    fn hear(&mut self, mut bytes: &[u8]) -> io::Result<usize> {
        let frames = match &mut self.hears {
            Hears::Frames(frames) => frames,
            Hears::Answers(answer, again) => {
                if answer.ends_with(bytes) {
                    self.stream.write_all(again)?;
                }
                return Ok(Answer::count(bytes));
            }
        };
        let mut messages = 0;
        while let Some(came) = frames.next(&mut bytes) {
            match came {
                Came::Message => messages += 1,
                Came::Ping(payload) => {
                    self.stream.write_all(&wire::client_frame(opcode::PONG, &payload))?;
                }
                Came::Close => return Err(io::Error::other("the server closed")),
            }
        }
        Ok(messages)
    }

    /// Says something, and waits until it is back.
    fn say_and_hear(&mut self) -> io::Result<()> {
        self.stream.write_all(&wire::client_frame(opcode::TEXT, b"hello"))?;
        let mut buffer = [0; 1_024];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Ok(()),
                count if self.hear(&buffer[..count])? > 0 => return Ok(()),
                _ => {}
            }
        }
    }
}
