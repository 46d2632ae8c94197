//! A network of a test's own: hosts, each in a namespace of its own, on two switches.
//!
//! The test itself runs in a namespace too, beside the switches, so that nothing touches any network
//! of the machine's. All of it ends with the test, however that ends: nothing has a name, and the
//! processes that hold the namespaces end with their standard input.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
};

use super::{Chat, Place, is_ci};

/// How a machine looks that has no namespaces for us.
const NEEDS: &str =
    "hosts need network namespaces: Linux, root, and `unshare`, `nsenter`, `ip` and `tc`";

/// The address of no machine: frames to it go nowhere.
const NOWHERE: &str = "02:00:00:00:00:00";

/// Where the switches and the test are.
const HOME: u8 = 254;

/// One of the two switches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Switch {
    First,
    Second,
}

impl Switch {
    const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// A namespace, for as long as this is there.
struct Namespace(Child);

impl Namespace {
    fn new() -> Option<Self> {
        let ready = "mount --make-rprivate / && ip link set lo up && echo here && exec cat";
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--mount", "--", "sh", "-c", ready]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = holder.spawn().ok()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut said).ok()?;
        let namespace = Self(child);
        (said == "here\n").then_some(namespace)
    }

    fn file(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.0.id())
    }

    /// What a command begins with that is to run there.
    fn launcher(&self) -> Vec<String> {
        let file =
            |kind| format!("--{}={}", if kind == "mnt" { "mount" } else { kind }, self.file(kind));
        vec!["nsenter".to_owned(), file("net"), file("mnt"), "--".to_owned()]
    }

    fn run(&self, command: &str) {
        let launcher = self.launcher();
        let words = launcher[1..].iter().map(String::as_str).chain(command.split(' '));
        let output = Command::new(&launcher[0]).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait(); // It ends with its standard input.
    }
}

/// Hosts on two switches, all on the first one at the beginning.
pub(crate) struct Hosts {
    home: Namespace,
    hosts: Vec<Namespace>,
}

impl Hosts {
    /// Makes the network, and lets this thread be in it. `None` where the machine does not allow that,
    /// which is told, and is a failure where CI is set.
    pub(crate) fn enter(hosts: usize) -> Option<Self> {
        let namespaces = (0..=hosts).map(|_| Namespace::new()).collect::<Option<Vec<_>>>();
        let Some(mut hosts) = namespaces else {
            assert!(!is_ci(), "{NEEDS}");
            eprintln!("*** SKIPPED: {NEEDS}");
            return None;
        };
        let home = hosts.pop().expect("there is one more than hosts");
        for switch in [Switch::First, Switch::Second] {
            home.run(&format!("ip link add {} type bridge forward_delay 0", switch.name()));
            home.run(&format!("ip link set {} up", switch.name()));
        }
        home.run(&format!("ip address add 10.57.2.{HOME}/24 dev first"));
        let network = Self { home, hosts };
        for host in 0..network.hosts.len() {
            network.plug(host);
        }
        let file = File::open(network.home.file("net")).unwrap();
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).unwrap();
        Some(network)
    }

    /// Lays the cable of a host.
    fn plug(&self, host: usize) {
        let (pid, ip) = (self.hosts[host].0.id(), Self::ip(host));
        self.home.run(&format!("ip link add port{host} type veth peer name cable netns {pid}"));
        self.home.run(&format!("ip link set port{host} master first up"));
        self.hosts[host].run(&format!("ip address add {ip}/24 dev cable"));
        self.hosts[host].run("ip link set cable up");
    }

    /// The address of a host.
    pub(crate) fn ip(host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 57, 2, 1 + u8::try_from(host).unwrap())
    }

    /// Plugs a host's cable into this switch.
    pub(crate) fn move_to(&self, host: usize, switch: Switch) {
        self.home.run(&format!("ip link set port{host} master {}", switch.name()));
    }

    /// Lets nothing that `from` sends come to `to`.
    pub(crate) fn silence(&self, from: usize, to: usize) {
        let ip = Self::ip(to);
        self.hosts[from]
            .run(&format!("ip neighbour replace {ip} dev cable lladdr {NOWHERE} nud permanent"));
    }

    /// Ends what [`silence`](Self::silence) did.
    pub(crate) fn hear_again(&self, from: usize, to: usize) {
        self.hosts[from].run(&format!("ip neighbour delete {} dev cable", Self::ip(to)));
    }

    /// Lets a host send only so many kilobits a second.
    pub(crate) fn slow_down(&self, host: usize, kilobits: u32) {
        let limit = format!("rate {kilobits}kbit burst 16kbit latency 300ms");
        self.hosts[host].run(&format!("tc qdisc add dev cable root tbf {limit}"));
    }

    /// Lets all hosts know addresses by a name.
    pub(crate) fn name(&self, place: &Place, name: &str, hosts: &[usize]) {
        let path = place.dir().join("hosts");
        let mut file = File::create(&path).unwrap();
        for &host in hosts {
            writeln!(file, "{} {name}", Self::ip(host)).unwrap();
        }
        for namespace in &self.hosts {
            namespace.run(&format!("mount --bind {} /etc/hosts", path.display()));
        }
    }

    /// Starts a chat on a host, whose clients connect to `port`, and waits until it listens.
    pub(crate) async fn chat(&self, host: usize, port: u16, place: &Place, more: &[&str]) -> Chat {
        let http = SocketAddr::from((Self::ip(host), port)).to_string();
        let (secret, launcher) = (place.secret(), self.hosts[host].launcher());
        let secret = secret.to_str().unwrap();
        let args = ["--http", &http, "--cluster", place.cluster(), "--secret", secret];
        let mut chat = Chat::spawn_by(&launcher, place, &[&args, more].concat());
        chat.listening().await;
        chat
    }
}
