//! A network of the torture's own, which can be cut: a namespace for each node, and a switch.
//!
//! The torture itself runs in a namespace of its own too, beside the switch, so that nothing here
//! touches any network of the machine's. All of it ends with the torture, however that ends: nothing
//! has a name, and the processes that hold the namespaces end with their standard input.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::Dice;

/// Says that the torture runs in a namespace of its own.
const INSIDE: &str = "EXOSPHERE_TORTURE_INSIDE";

/// The network's addresses: nodes count from 1, and the torture itself is the last.
const NET: [u8; 3] = [10, 57, 1];
const OWN_HOST: u8 = 254;

/// The most nodes that there are addresses for.
const MAX_NODES: usize = 200;

/// Where nodes listen for clients. Each has an address, so that they may share the port.
const HTTP_PORT: u16 = 8080;

/// Where nodes listen for each other, which is the port that a seed has if it names none.
const NODE_PORT: u16 = 5701;

/// The address of no machine: frames to it go nowhere.
const NOWHERE: &str = "02:00:00:00:00:00";

/// What is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    /// A node and all others do not reach each other. Clients reach all.
    Apart(usize),
    /// Two nodes do not reach each other, and both reach all others.
    Between(usize, usize),
    /// No other node hears of a node, which hears of all.
    Mute(usize),
    /// A node hears of no other, and all hear of it.
    Deaf(usize),
    /// A node reaches nobody, clients neither, and nobody reaches it.
    Unplugged(usize),
    /// The nodes up to this one and those from it on do not reach each other. Clients reach all.
    Split(usize),
}

impl Cut {
    /// Some cut among this many nodes.
    pub(crate) fn roll(dice: &mut Dice, nodes: usize) -> Self {
        let victim = dice.below(nodes as u64) as usize;
        match dice.below(5) {
            0 => Self::Apart(victim),
            1 => Self::Between(victim, (victim + 1) % nodes),
            2 => Self::Mute(victim),
            3 => Self::Deaf(victim),
            _ => Self::Unplugged(victim),
        }
    }

    /// The node that it is about.
    pub(crate) const fn victim(self) -> usize {
        match self {
            Self::Apart(victim)
            | Self::Between(victim, _)
            | Self::Mute(victim)
            | Self::Deaf(victim)
            | Self::Unplugged(victim)
            | Self::Split(victim) => victim,
        }
    }

    /// Whether what `from` sends does not come to `to`, though both are plugged in.
    fn silences(self, from: usize, to: usize) -> bool {
        match self {
            Self::Apart(victim) => from == victim || to == victim,
            Self::Between(a, b) => (from, to) == (a, b) || (from, to) == (b, a),
            Self::Mute(victim) => from == victim,
            Self::Deaf(victim) => to == victim,
            Self::Unplugged(_) => false,
            Self::Split(first) => (from < first) != (to < first),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apart(victim) => write!(f, "node {victim} is apart from the others"),
            Self::Between(a, b) => write!(f, "nodes {a} and {b} are apart from each other"),
            Self::Mute(victim) => write!(f, "node {victim} is not heard by the others"),
            Self::Deaf(victim) => write!(f, "node {victim} does not hear the others"),
            Self::Unplugged(victim) => write!(f, "node {victim} is unplugged"),
            Self::Split(first) => write!(f, "{first} nodes are apart from the others"),
        }
    }
}

/// Goes into a namespace of its own, by running the whole program again. Returns there.
///
/// # Errors
///
/// This machine has no namespaces for us. The sentence says what is missing.
pub(crate) async fn enter() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let mut own = vec!["--net"];
    if !rustix::process::geteuid().is_root() {
        own.push("--map-root-user");
    }
    let args = [&own[..], &["--", "ip", "link", "set", "lo", "up"]].concat();
    let needs = "a partition needs network namespaces: Linux, `unshare` and `ip`, and root or leave \
                 for user namespaces";
    run("unshare", &args).await.map_err(|error| format!("{needs} ({error})"))?;
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut again = std::process::Command::new("unshare");
    again.args(&own).arg("--").arg(exe).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Err(format!("cannot run again: {}", again.exec()))
}

/// A network of the torture's own.
pub(crate) struct Network {
    /// What holds the namespace of each node, for as long as its standard input is open.
    holders: Vec<Holder>,
}

struct Holder {
    _process: Child,
    namespace: String,
}

impl Network {
    /// Makes the network, in the namespace that [`enter`] has made.
    pub(crate) async fn new(nodes: usize) -> Result<Self, Box<dyn Error>> {
        if nodes > MAX_NODES {
            return Err(format!("there are addresses for {MAX_NODES} nodes").into());
        }
        ip(&["link", "set", "lo", "up"]).await?;
        ip(&["link", "add", "switch", "type", "bridge", "forward_delay", "0"]).await?;
        ip(&["address", "add", &with_prefix(OWN_HOST), "dev", "switch"]).await?;
        ip(&["link", "set", "switch", "up"]).await?;
        let mut network = Self { holders: Vec::new() };
        for node in 0..nodes {
            network.add(node).await?;
        }
        Ok(network)
    }

    /// How many nodes there is a place for.
    pub(crate) const fn len(&self) -> usize {
        self.holders.len()
    }

    /// Where clients reach a node.
    pub(crate) fn http(node: usize) -> SocketAddr {
        SocketAddr::new(host(node), HTTP_PORT)
    }

    /// Where nodes reach a node.
    pub(crate) fn addr(node: usize) -> SocketAddr {
        SocketAddr::new(host(node), NODE_PORT)
    }

    /// A command that will run where a node is.
    pub(crate) fn command(&self, node: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(&self.holders[node].namespace).arg("--").arg(program);
        command
    }

    /// Cuts, until it is [mended](Self::mend).
    pub(crate) async fn cut(&self, cut: Cut) -> Result<(), Box<dyn Error>> {
        if let Cut::Unplugged(node) = cut {
            return Ok(ip(&["link", "set", &port(node), "down"]).await?);
        }
        for (from, to) in self.ways() {
            if cut.silences(from, to) {
                let (to, dead) = (host(to).to_string(), ["lladdr", NOWHERE, "nud", "permanent"]);
                let neighbour = ["neighbour", "replace", &to, "dev", "node"];
                self.ip_at(from, &[&neighbour[..], &dead].concat()).await?;
            }
        }
        Ok(())
    }

    /// Mends what was cut.
    pub(crate) async fn mend(&self, cut: Cut) -> Result<(), Box<dyn Error>> {
        if let Cut::Unplugged(node) = cut {
            return Ok(ip(&["link", "set", &port(node), "up"]).await?);
        }
        for (from, to) in self.ways() {
            if cut.silences(from, to) {
                let to = host(to).to_string();
                self.ip_at(from, &["neighbour", "delete", &to, "dev", "node"]).await?;
            }
        }
        Ok(())
    }

    fn ways(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let nodes = self.holders.len();
        let all = (0..nodes).flat_map(move |from| (0..nodes).map(move |to| (from, to)));
        all.filter(|(from, to)| from != to)
    }

    /// Makes a node's namespace, and plugs it into the switch.
    async fn add(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sh", "-c", "ip link set lo up && echo here && exec cat"]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = holder.spawn()?;
        let stdout = process.stdout.take().ok_or("a process has no standard output")?;
        let said = BufReader::new(stdout).lines().next_line().await?;
        if said.as_deref() != Some("here") {
            return Err("a namespace cannot be made".into());
        }
        let pid = process.id().ok_or("a namespace has ended")?.to_string();
        let namespace = format!("--net=/proc/{pid}/ns/net");
        self.holders.push(Holder { _process: process, namespace });
        let port = port(node);
        let pair = ["link", "add", &port, "type", "veth", "peer", "name", "node", "netns", &pid];
        ip(&pair).await?;
        ip(&["link", "set", &port, "master", "switch", "up"]).await?;
        let address = with_prefix(number(node));
        self.ip_at(node, &["address", "add", &address, "dev", "node"]).await?;
        self.ip_at(node, &["link", "set", "node", "up"]).await?;
        Ok(())
    }

    async fn ip_at(&self, node: usize, args: &[&str]) -> Result<(), String> {
        run("nsenter", &[&[&self.holders[node].namespace, "--", "ip"], args].concat()).await
    }
}

fn number(node: usize) -> u8 {
    1 + u8::try_from(node).expect("there are fewer nodes than addresses")
}

fn host(node: usize) -> IpAddr {
    let [a, b, c] = NET;
    Ipv4Addr::new(a, b, c, number(node)).into()
}

fn with_prefix(host: u8) -> String {
    let [a, b, c] = NET;
    format!("{a}.{b}.{c}.{host}/24")
}

/// The switch's end of a node's cable.
fn port(node: usize) -> String {
    format!("port-{node}")
}

async fn ip(args: &[&str]) -> Result<(), String> {
    run("ip", args).await
}

async fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().await;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} {}: {}", args.join(" "), said.trim()))
        }
    }
}
