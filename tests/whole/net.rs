//! The network between simulated machines: it delays, loses, doubles and reorders datagrams, and is
//! cut, in one direction or in both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use exosphere::network::{Network, Socket};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{dice::Dice, now};

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// How long they are under way, at least and at most. They come in the order in which they were sent,
    /// as on a cable: who takes those that were overtaken for lost would be slow for nothing.
    pub(crate) delay: (Duration, Duration),
    /// How many of a thousand are lost.
    pub(crate) lost: u64,
    /// How many of a thousand come twice.
    pub(crate) doubled: u64,
    /// How many of a thousand are late, by up to [`LATE`], so that others overtake them.
    pub(crate) late: u64,
}

/// By how much a datagram is late at most.
const LATE: Duration = Duration::from_millis(30);

impl Weather {
    /// A quiet local network.
    pub(crate) const CALM: Self = Self {
        delay: (Duration::from_micros(200), Duration::from_micros(1_500)),
        lost: 0,
        doubled: 0,
        late: 0,
    };
}

/// What was sent, in one number: equal only if all was sent alike, at the same times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    datagrams: u64,
    bytes: u64,
    hash: u64,
}

impl Trace {
    /// How many bytes of datagrams were sent since another was taken.
    pub(crate) fn bytes_since(self, before: Self) -> u64 {
        self.bytes - before.bytes
    }

    /// Continues the hash, which is FNV-1a over numbers.
    fn add(&mut self, numbers: [u64; 4]) {
        for number in numbers {
            self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datagrams={} bytes={} trace:{:016x}", self.datagrams, self.bytes, self.hash)
    }
}

/// The network between all machines.
pub(crate) struct Net {
    start: Instant,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    weather: Weather,
    /// From whom nothing comes to whom.
    cuts: BTreeSet<(usize, usize)>,
    ports: BTreeMap<SocketAddr, Vec<Weak<Port>>>,
    /// When the last datagram of one machine comes to another.
    last: BTreeMap<(usize, usize), Instant>,
    next_port: u16,
    sent: u64,
    trace: Trace,
}

impl Net {
    pub(crate) fn new(dice: Dice, weather: Weather) -> Arc<Self> {
        let trace = Trace { datagrams: 0, bytes: 0, hash: 0xcbf2_9ce4_8422_2325 };
        let state = State {
            dice,
            weather,
            cuts: BTreeSet::new(),
            ports: BTreeMap::new(),
            last: BTreeMap::new(),
            next_port: FIRST_FREE_PORT,
            sent: 0,
            trace,
        };
        Arc::new(Self { start: now(), state: Mutex::new(state) })
    }

    /// What connects a machine to this network, while it runs.
    pub(crate) fn card(self: &Arc<Self>, machine: usize) -> Arc<Card> {
        Arc::new(Card { net: Arc::clone(self), machine, is_off: Arc::default() })
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// Lets nothing come through from one machine to another.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        self.state().cuts.insert((from, to));
    }

    /// Lets nothing come through between these machines and those.
    pub(crate) fn split(&self, these: &[usize], those: &[usize]) {
        for &one in these {
            for &other in those {
                self.cut(one, other);
                self.cut(other, one);
            }
        }
    }

    /// Lets everything come through again.
    pub(crate) fn heal(&self) {
        self.state().cuts.clear();
    }

    pub(crate) fn trace(&self) -> Trace {
        self.state().trace
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics who holds it")
    }

    fn bind(self: &Arc<Self>, card: &Card, addr: SocketAddr) -> io::Result<Arc<Port>> {
        let mut state = self.state();
        let mut addr = addr;
        if addr.port() == 0 {
            addr.set_port(state.next_port);
            state.next_port += 1;
        }
        let is_taken = state.ports.get(&addr).is_some_and(|ports| !ports.is_empty());
        if is_taken && !addr.ip().is_multicast() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (net, is_off) = (Arc::clone(self), Arc::clone(&card.is_off));
        let inbox = Mutex::default();
        let port = Arc::new(Port { net, machine: card.machine, is_off, addr, inbox });
        state.ports.entry(addr).or_default().push(Arc::downgrade(&port));
        Ok(port)
    }

    /// What `from` sends is on its way.
    fn send(&self, from: &Port, datagram: &[u8], to: SocketAddr) {
        if from.is_off.load(Ordering::Relaxed) {
            return;
        }
        let now = now();
        let at = now.duration_since(self.start).as_micros() as u64;
        let mut state = self.state();
        let state = &mut *state;
        state.trace.datagrams += 1;
        state.trace.bytes += datagram.len() as u64;
        let ends = (u64::from(from.addr.port()) << 32) | u64::from(to.port());
        state.trace.add([at, from.machine as u64, ends, datagram.len() as u64]);
        let heard = state.ports.get(&to).into_iter().flatten().filter_map(Weak::upgrade);
        for port in heard.filter(|port| port.machine != from.machine) {
            if state.cuts.contains(&(from.machine, port.machine)) {
                continue;
            }
            let Weather { delay, lost, doubled, late } = state.weather;
            let copies =
                u64::from(!state.dice.happens(lost)) + u64::from(state.dice.happens(doubled));
            for _ in 0..copies {
                let comes = now + state.dice.between(delay.0, delay.1);
                let last = state.last.entry((from.machine, port.machine)).or_insert(comes);
                *last = comes.max(*last);
                let mut comes = *last;
                if state.dice.happens(late) {
                    comes += state.dice.between(Duration::ZERO, LATE);
                }
                state.sent += 1;
                port.put((comes, state.sent), from.addr, datagram);
            }
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

/// What connects a machine to the network, from when it starts until it is switched off.
#[derive(Debug)]
pub(crate) struct Card {
    net: Arc<Net>,
    machine: usize,
    is_off: Arc<AtomicBool>,
}

impl Card {
    /// Nothing that the machine does is heard any more, and its addresses are free.
    pub(crate) fn switch_off(&self) {
        self.is_off.store(true, Ordering::Relaxed);
        let is_on = |port: &Weak<Port>| {
            port.upgrade().is_some_and(|port| !port.is_off.load(Ordering::Relaxed))
        };
        self.net.state().ports.values_mut().for_each(|ports| ports.retain(is_on));
    }
}

impl Network for Card {
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn Socket>> {
        Ok(self.net.bind(self, addr)?)
    }
}

/// A socket.
struct Port {
    net: Arc<Net>,
    machine: usize,
    is_off: Arc<AtomicBool>,
    addr: SocketAddr,
    inbox: Mutex<Inbox>,
}

/// What is on its way to a socket.
#[derive(Default)]
struct Inbox {
    /// By when it arrives, and in the order it was sent.
    under_way: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    alarm: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
}

impl Port {
    fn put(&self, at: (Instant, u64), from: SocketAddr, datagram: &[u8]) {
        let mut inbox = self.inbox();
        let is_next = inbox.under_way.keys().next().is_none_or(|next| at < *next);
        inbox.under_way.insert(at, (from, datagram.to_vec()));
        let waker = if is_next { inbox.waker.take() } else { None };
        drop(inbox);
        waker.into_iter().for_each(Waker::wake);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("nobody panics who holds it")
    }
}

impl Socket for Port {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.net.send(self, datagram, to);
        Ok(())
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut inbox = self.inbox();
        let Inbox { under_way, alarm, waker } = &mut *inbox;
        while let Some(next) = under_way.first_entry() {
            let at = next.key().0;
            if at <= now() {
                let (from, datagram) = next.remove();
                let len = datagram.len().min(buffer.len());
                buffer[..len].copy_from_slice(&datagram[..len]);
                return Poll::Ready(Ok((len, from)));
            }
            let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if alarm.deadline() != at {
                alarm.as_mut().reset(at);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        *waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Port").field(&self.addr).finish()
    }
}

/// The first port that is given to who wants any.
const FIRST_FREE_PORT: u16 = 49_152;
