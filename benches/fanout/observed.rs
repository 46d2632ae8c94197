//! What it costs to be watched: statistics, the flight recorder, and somebody who follows what happens.

use std::io;

use super::{
    Arguments,
    load::{Load, MAX_OUTSTANDING},
    machine::Processor,
    rounds::{Scenario, Spent},
    served::Served,
};

/// How many deliveries a second of processor time is worth at least, as a part of what it is worth
/// where nothing is watched.
const GOAL: f64 = 0.95;

/// Measures a node that is watched and one that is not, in turns, with clients that stay.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    Processor::Server.keep()?;
    let (clients, transport) = (arguments.clients[0], arguments.transport[0]);
    let mut load = Load::start()?;
    let (plain, watched) = (Served::start_unwatched()?, Served::start_watched()?);
    plain.open(&mut load, transport, clients, false)?;
    watched.open(&mut load, transport, clients, false)?;
    let time = std::time::Duration::from_secs_f64(arguments.seconds);
    for &bytes in &arguments.bytes {
        for &outstanding in &arguments.outstanding {
            let outstanding = outstanding.clamp(1, MAX_OUTSTANDING);
            let scenario = Scenario { transport, clients, bytes, outstanding, time };
            let mut rounds = Vec::new();
            for round in 0..arguments.rounds.max(1) {
                // Who comes second finds the machine as the first has left it.
                let (one, other) = match round % 2 {
                    0 => (plain.measure(&load, &scenario)?, watched.measure(&load, &scenario)?),
                    _ => {
                        let watched = watched.measure(&load, &scenario)?;
                        (plain.measure(&load, &scenario)?, watched)
                    }
                };
                rounds.push((one, other));
            }
            print(&scenario, rounds);
        }
    }
    drop(load); // Before what its clients are connected to.
    Ok(())
}

fn print(scenario: &Scenario, mut rounds: Vec<(Spent, Spent)>) {
    let ratio = |(plain, watched): &(Spent, Spent)| plain.micros / watched.micros;
    rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let (plain, watched) = rounds[rounds.len() / 2];
    let ratio = plain.micros / watched.micros;
    let (least, most) = (rounds.first(), rounds.last());
    let span = least
        .zip(most)
        .map(|(least, most)| (least.0.micros / least.1.micros, most.0.micros / most.1.micros));
    let (least, most) = span.unwrap_or((ratio, ratio));
    let Scenario { transport, clients, bytes, outstanding, .. } = scenario;
    println!(
        "{transport:>12} {clients:>7} {bytes:>6} {outstanding:>11} | {:>10.3} {:>10.3} | {ratio:>6.3} \
         ({least:.3} to {most:.3}){}",
        plain.micros,
        watched.micros,
        if ratio < GOAL { " !" } else { "" },
    );
}

/// Prints what the columns mean.
pub(crate) fn print_head() {
    println!(
        "\n{:>12} {:>7} {:>6} {:>11} | {:>10} {:>10} | {:>6}",
        "transport", "clients", "bytes", "outstanding", "CPU us", "watched", "ratio"
    );
}
