//! What a client costs that says nothing.

use std::{io, time::Duration};

use super::{
    Arguments,
    load::Load,
    machine::{self, Processor},
    served::Served,
};

/// How much memory of the server an idle client may take.
const GOAL_BYTES: u64 = 6 << 10;

/// Clients that come first, so that what is made once is there.
const WARM_UP: u16 = 20;

/// How long nothing happens before the memory is looked at: longer than messages are kept that all
/// have.
const REST: Duration = Duration::from_secs(7);

/// Measures the memory of the server for each client that is in a room of its own, has said one
/// thing, and was told what it said.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    Processor::Server.keep()?;
    let clients = arguments.clients[0];
    let mut load = Load::start()?;
    let served = Served::start()?;
    served.open(&mut load, WARM_UP, true)?;
    served.rest(Duration::from_secs(1));
    let before = machine::resident_bytes()?;
    served.open(&mut load, clients, true)?;
    let at_once = machine::resident_bytes()?.saturating_sub(before) / u64::from(clients);
    served.rest(REST);
    let each = machine::resident_bytes()?.saturating_sub(before) / u64::from(clients);
    println!(
        "{clients} idle clients, each in a room of its own: {:.2} KiB each ({:.2} at once){}",
        each as f64 / 1024.0,
        at_once as f64 / 1024.0,
        if each > GOAL_BYTES { " !" } else { "" },
    );
    drop(load); // Before what its clients are connected to.
    Ok(())
}
