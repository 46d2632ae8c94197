//! A process of the chat example.

use std::{
    ffi::OsStr,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::Notify,
};

use super::{PATIENCE, Place, spawn, within};

/// A process of the chat example, which is killed when this is dropped. If the test fails, its log
/// is printed.
pub(crate) struct Chat {
    name: String,
    child: Child,
    pid: Pid,
    stdout: Option<BufReader<ChildStdout>>,
    log: Arc<Log>,
    http: Option<SocketAddr>,
}

impl Chat {
    /// Starts a process, and waits until it listens.
    pub(crate) async fn start(place: &Place, args: &[&str]) -> Self {
        let mut chat = Self::spawn(place, args);
        chat.listening().await;
        chat
    }

    /// Starts a process with `--http` on a port that is free, in the cluster of `place`.
    pub(crate) async fn join(place: &Place) -> Self {
        Self::join_with(place, &[]).await
    }

    /// The same, with further arguments.
    pub(crate) async fn join_with(place: &Place, more: &[&str]) -> Self {
        let secret = place.secret();
        let secret = secret.to_str().unwrap();
        let args = ["--http", "127.0.0.1:0", "--cluster", place.cluster(), "--secret", secret];
        Self::start(place, &[&args, more].concat()).await
    }

    /// Starts a process. What it says goes to [`Chat::since`] from the first line on.
    pub(crate) fn spawn(place: &Place, args: &[&str]) -> Self {
        Self::spawn_by(&[], place, args)
    }

    /// Starts a process by another program, which it takes the place of.
    pub(crate) fn spawn_by(launcher: &[String], place: &Place, args: &[&str]) -> Self {
        let executable = example("chat");
        let words = launcher.iter().map(OsStr::new).chain([executable.as_os_str()]);
        let words: Vec<_> = words.chain(args.iter().map(OsStr::new)).collect();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .env("XDG_RUNTIME_DIR", place.dir())
            .env("RUST_LOG", std::env::var("CHAT_LOG").unwrap_or_else(|_| "info".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let id = child.id().expect("the process has not been waited for");
        let pid = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        let log = Arc::<Log>::default();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let written = Arc::clone(&log);
        spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                written.push(line);
            }
        });
        let stdout = child.stdout.take().map(BufReader::new);
        Self { name: format!("chat {id}"), child, pid, stdout, log, http: None }
    }

    /// Waits until it says where it listens.
    pub(crate) async fn listening(&mut self) -> SocketAddr {
        let stdout = self.stdout.as_mut().expect("standard output is read once");
        let mut line = String::new();
        within(PATIENCE, "chat listens", stdout.read_line(&mut line)).await.unwrap();
        let addr = line.trim_end().strip_prefix("listening http://");
        let addr = addr.unwrap_or_else(|| panic!("{} said {line:?}", self.name));
        *self.http.insert(addr.parse().unwrap())
    }

    /// Waits until it says where operators see and steer it: a URL with a token.
    pub(crate) async fn control(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("standard output is read once");
        let mut line = String::new();
        within(PATIENCE, "chat has a console", stdout.read_line(&mut line)).await.unwrap();
        let url = line.trim_end().strip_prefix("control ");
        url.unwrap_or_else(|| panic!("{} said {line:?}", self.name)).to_owned()
    }

    /// All that it has yet to say to standard output, until it closes that.
    pub(crate) async fn says(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("standard output is read once");
        let mut text = String::new();
        within(PATIENCE, "chat is silent", stdout.read_to_string(&mut text)).await.unwrap();
        text
    }

    /// Which process it is.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the process has not been waited for")
    }

    /// Where browsers connect.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http.expect("it listens")
    }

    /// The URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http())
    }

    /// Where its log is now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.log.lines.lock().unwrap().len())
    }

    /// Waits until a line with `text` is logged after `mark`. Returns when it was, as the log says.
    pub(crate) async fn logs(&self, text: &str, mark: Mark) -> Stamp {
        self.logs_within(PATIENCE, text, mark).await
    }

    pub(crate) async fn logs_within(&self, patience: Duration, text: &str, mark: Mark) -> Stamp {
        let found = async {
            loop {
                let mut grown = std::pin::pin!(self.log.grown.notified());
                grown.as_mut().enable();
                let found = self.since(mark).into_iter().find(|line| line.contains(text));
                if let Some(line) = found {
                    return Stamp::of(&line);
                }
                grown.await;
            }
        };
        within(patience, &format!("{} logs {text:?}", self.name), found).await
    }

    /// Waits until it logs that it sees this many nodes.
    pub(crate) async fn sees(&self, members: usize, mark: Mark) -> Stamp {
        self.logs(&format!("Members [{members}]"), mark).await
    }

    /// The log since `mark`.
    pub(crate) fn since(&self, mark: Mark) -> Vec<String> {
        self.log.lines.lock().unwrap()[mark.0..].to_vec()
    }

    /// Where its peers reach it, as its log says once it has one.
    pub(crate) fn node(&self) -> String {
        let lines = self.since(Mark::default());
        let this = lines.iter().rev().find(|line| line.ends_with(" this"));
        this.expect("a list of members").split_whitespace().nth(1).unwrap().to_owned()
    }

    /// Whether its last list of members has `other`.
    pub(crate) fn knows(&self, other: &Self) -> bool {
        let lines = self.since(Mark::default());
        let last = lines.iter().rposition(|line| line.contains("Members ["));
        let (node, list) = (other.node(), &lines[last.unwrap_or(lines.len())..]);
        list.iter().any(|line| line.contains(&format!("Member {node} ")))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Kills it, as `kill -9` does.
    pub(crate) async fn kill(&mut self) -> Stamp {
        let stamp = Stamp::now();
        self.child.kill().await.unwrap();
        stamp
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within(PATIENCE, "the process ends", self.child.wait()).await.unwrap()
    }

    /// How many bytes of memory it has.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.start_kill(); // It may have ended.
        if std::thread::panicking() {
            eprintln!("--- the log of {} ({:?}):", self.name, self.http);
            self.since(Mark::default()).iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// An example, which stands beside the tests: `cargo test` builds it, but not `cargo test --test`.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let example = profile.join("examples").join(file);
    let built = |path: &Path| path.metadata().and_then(|facts| facts.modified()).ok();
    let (built, library) = (built(&example), built(&profile.join("libexosphere.rlib")));
    assert!(built.is_some() && built >= library, "run `cargo build --example {name}` first");
    example
}

/// What a process has logged.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Notify,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.grown.notify_waiters();
    }
}

/// A place in a log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark(usize);

/// A time of the day, in UTC: the log's own, which does not depend on when the test reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(Duration);

impl Stamp {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[expect(clippy::disallowed_methods, reason = "it is compared with the times of a log")]
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self(since - Self::DAY * u32::try_from(since.as_secs() / Self::DAY.as_secs()).unwrap())
    }

    /// The time of a line such as `2026-01-31T23:59:59.123456Z  INFO ...`.
    fn of(line: &str) -> Self {
        let time = line.get(11..26).unwrap_or_else(|| panic!("no time: {line:?}"));
        let number = |at: std::ops::Range<usize>| time[at].parse::<u64>().expect("a number");
        let seconds = number(0..2) * 3600 + number(3..5) * 60 + number(6..8);
        Self(Duration::from_secs(seconds) + Duration::from_micros(number(9..15)))
    }

    /// How long this is after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        if self.0 >= earlier.0 { self.0 - earlier.0 } else { self.0 + Self::DAY - earlier.0 }
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
