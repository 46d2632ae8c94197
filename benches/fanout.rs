//! What it costs to bring one publisher's messages to many clients, and to keep them connected.
//!
//! The measure is how many deliveries a second of the server's processor time is worth, as a ratio
//! to a bare loop of `send` that writes the frames of a WebSocket to as many sockets of the same
//! clients. The two take turns in one run, so that a busy machine slows both. The clients are a second
//! process ([`load`]); each transport and number of clients is measured in a server process of its own.
//!
//! A client that polls asks once for each message where one is outstanding, so its deliveries are
//! polls there.
//!
//! ```text
//! cargo bench --bench fanout -- [--transport T]... [--clients N]... [--bytes N]...
//!                               [--outstanding N]... [--seconds S] [--rounds N] [--skip-idle]
//!                               [--observed]
//! ```

#[cfg(target_os = "linux")]
#[path = "fanout/answer.rs"]
mod answer;
#[cfg(target_os = "linux")]
#[path = "fanout/bare.rs"]
mod bare;
#[cfg(target_os = "linux")]
#[path = "fanout/idle.rs"]
mod idle;
#[cfg(target_os = "linux")]
#[path = "fanout/load.rs"]
mod load;
#[cfg(target_os = "linux")]
#[path = "fanout/machine.rs"]
mod machine;
#[cfg(target_os = "linux")]
#[path = "fanout/observed.rs"]
mod observed;
#[cfg(target_os = "linux")]
#[path = "fanout/rounds.rs"]
mod rounds;
#[cfg(target_os = "linux")]
#[path = "fanout/served.rs"]
mod served;
#[path = "fanout/transport.rs"]
mod transport;
#[path = "fanout/wire.rs"]
mod wire;

use clap::{Parser, ValueEnum};
use transport::Transport;

/// Measures the fan-out.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// What the clients are connected by. May be given many times.
    #[arg(long, value_enum, value_name = "T", default_values_t = [Transport::WebSocket])]
    transport: Vec<Transport>,
    /// How many clients. May be given many times.
    #[arg(long, value_name = "N", default_values_t = [1_000, 5_000])]
    clients: Vec<u16>,
    /// How long a message is. May be given many times.
    #[arg(long, value_name = "N", default_values_t = [128, 1_024])]
    bytes: Vec<usize>,
    /// How many messages are under way at most. May be given many times.
    #[arg(long, value_name = "N", default_values_t = [1, 16])]
    outstanding: Vec<usize>,
    /// How long each measurement lasts.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    /// How often each is measured. The median is shown.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Leave out what idle clients cost.
    #[arg(long)]
    skip_idle: bool,
    /// Measure what it costs to be watched: a node with statistics, the flight recorder and somebody who
    /// follows what happens, beside one without.
    #[arg(long)]
    observed: bool,
    /// Measure this part only: for the processes that this one starts.
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a process is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    Idle,
    Load,
    Observed,
    Rounds,
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    machine::raise_file_limit()?;
    match arguments.role {
        Some(Role::Idle) => idle::run(&arguments),
        Some(Role::Load) => load::run(),
        Some(Role::Observed) => observed::run(&arguments),
        Some(Role::Rounds) => rounds::run(&arguments),
        None => run_all(&arguments),
    }
}

#[cfg(target_os = "linux")]
fn run_all(arguments: &Arguments) -> std::io::Result<()> {
    let most = arguments.clients.iter().max().copied().unwrap_or(0).to_string();
    if !arguments.skip_idle && !arguments.observed {
        for transport in &arguments.transport {
            let transport = transport.to_string();
            machine::again("idle", &["--clients", &most, "--transport", &transport])?;
        }
    }
    let role = if arguments.observed { "observed" } else { "rounds" };
    match arguments.observed {
        true => observed::print_head(),
        false => rounds::print_head(),
    }
    for (transport, clients) in each_pair(&arguments.transport, &arguments.clients) {
        let mut given = vec!["--clients".to_owned(), clients.to_string()];
        let mut give = |name: &str, value: String| given.extend([format!("--{name}"), value]);
        give("transport", transport.to_string());
        arguments.bytes.iter().for_each(|bytes| give("bytes", bytes.to_string()));
        arguments.outstanding.iter().for_each(|it| give("outstanding", it.to_string()));
        give("seconds", arguments.seconds.to_string());
        give("rounds", arguments.rounds.to_string());
        machine::again(role, &given)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn each_pair<'a, A: Copy, B: Copy>(
    these: &'a [A],
    those: &'a [B],
) -> impl Iterator<Item = (A, B)> + 'a {
    these.iter().flat_map(|&this| those.iter().map(move |&that| (this, that)))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this is measured on Linux only");
}
