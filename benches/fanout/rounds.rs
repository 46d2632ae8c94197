//! Rounds of measurements, in turns, and what comes of them.

use std::{io, time::Duration};

use super::{
    Arguments,
    answer::MESSAGE_END,
    bare::Bare,
    load::{Load, MAX_OUTSTANDING},
    machine::{self, Processor},
    served::Served,
    transport::Transport,
};

/// What one delivery costs at most, as a part of what it costs a node: with one message under way.
const GOAL_OF_BARE: f64 = 0.8;

/// How many times as much is delivered with sixteen messages under way as with one.
const GOAL_OF_ONE: f64 = 6.0;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) transport: Transport,
    pub(crate) clients: u16,
    pub(crate) bytes: usize,
    pub(crate) outstanding: usize,
    pub(crate) time: Duration,
}

impl Scenario {
    /// A message.
    pub(crate) fn text(&self) -> String {
        let mut text = "x".repeat(self.bytes.saturating_sub(1));
        text.push(char::from(MESSAGE_END));
        text
    }
}

/// Measures what a server spends.
#[derive(Debug)]
pub(crate) struct Watch {
    clients: u64,
    messages: u64,
    until: Duration,
    began: Duration,
    processor_began: Duration,
}

impl Watch {
    pub(crate) fn start(scenario: &Scenario) -> Self {
        let (began, processor_began) = (machine::now(), machine::processor_time());
        let (clients, until) = (u64::from(scenario.clients), began + scenario.time);
        Self { clients, messages: 0, until, began, processor_began }
    }

    pub(crate) fn is_running(&self) -> bool {
        machine::now() < self.until
    }

    /// One message more was published.
    pub(crate) fn count(&mut self) {
        self.messages += 1;
    }

    pub(crate) fn stop(&self) -> Spent {
        let deliveries = (self.messages * self.clients) as f64;
        Spent {
            per_second: deliveries / (machine::now() - self.began).as_secs_f64(),
            micros: (machine::processor_time() - self.processor_began).as_secs_f64() * 1e6
                / deliveries,
        }
    }
}

/// What deliveries cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// How many there were, for each second that went by.
    pub(crate) per_second: f64,
    /// How much of the server's processor each took.
    pub(crate) micros: f64,
}

/// The medians of some rounds.
#[derive(Clone, Copy, Debug)]
struct Result {
    bare: Spent,
    served: Spent,
    /// What a delivery must cost, as a part of what it does cost, within one round.
    ratio: f64,
}

/// Measures all that is asked for, with clients that stay.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    Processor::Server.keep()?;
    let (clients, transport) = (arguments.clients[0], arguments.transport[0]);
    let mut load = Load::start()?;
    let served = Served::start()?;
    served.open(&mut load, transport, clients, false)?;
    load.side_channel().set_nonblocking(false)?;
    let mut bare = Bare::open(&mut load, clients)?;
    let time = Duration::from_secs_f64(arguments.seconds);
    for &bytes in &arguments.bytes {
        let mut one = None;
        for &outstanding in &arguments.outstanding {
            let outstanding = outstanding.clamp(1, MAX_OUTSTANDING);
            let scenario = Scenario { transport, clients, bytes, outstanding, time };
            let mut rounds = Vec::new();
            for _ in 0..arguments.rounds.max(1) {
                let bare = bare.measure(&load, &scenario)?;
                rounds.push((bare, served.measure(&load, &scenario)?));
            }
            let result = sum_up(&rounds);
            if outstanding == 1 {
                one = Some(result.served);
            }
            print(&scenario, &result, one.filter(|_| outstanding > 1));
        }
    }
    drop(load); // Before what its clients are connected to.
    Ok(())
}

fn sum_up(rounds: &[(Spent, Spent)]) -> Result {
    let middle = |of: &dyn Fn(&(Spent, Spent)) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Result {
        bare: Spent {
            per_second: middle(&|it| it.0.per_second),
            micros: middle(&|it| it.0.micros),
        },
        served: Spent {
            per_second: middle(&|it| it.1.per_second),
            micros: middle(&|it| it.1.micros),
        },
        ratio: middle(&|it| it.0.micros / it.1.micros),
    }
}

/// Prints what the columns mean.
pub(crate) fn print_head() {
    println!(
        "\n{:>12} {:>7} {:>6} {:>11} | {:>10} {:>8} | {:>10} {:>8} {:>10} | {:>8} {:>10}",
        "", "", "", "", "bare send", "", "node", "", "", "", ""
    );
    println!(
        "{:>12} {:>7} {:>6} {:>11} | {:>10} {:>8} | {:>10} {:>8} {:>10} | {:>8} {:>10}",
        "transport",
        "clients",
        "bytes",
        "outstanding",
        "per s",
        "CPU us",
        "per s",
        "CPU us",
        "per CPU s",
        "of bare",
        "of one"
    );
}

fn print(scenario: &Scenario, result: &Result, one: Option<Spent>) {
    let is_goal = scenario.transport == Transport::WebSocket;
    let verdict = |value: f64, goal: f64| if value >= goal || !is_goal { ' ' } else { '!' };
    let Scenario { transport, clients, bytes, outstanding, .. } = scenario;
    let Result { bare, served, ratio } = result;
    print!(
        "{transport:>12} {clients:>7} {bytes:>6} {outstanding:>11} | {:>10.0} {:>8.3} | {:>10.0} \
         {:>8.3} {:>10.0}",
        bare.per_second,
        bare.micros,
        served.per_second,
        served.micros,
        1e6 / served.micros,
    );
    match one {
        None => println!(" | {ratio:>7.2}{}", verdict(*ratio, GOAL_OF_BARE)),
        Some(one) => {
            let times = one.micros / served.micros;
            println!(" | {ratio:>7.2}  {times:>9.1}{}", verdict(times, GOAL_OF_ONE));
        }
    }
}
