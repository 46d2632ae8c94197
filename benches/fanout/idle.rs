//! What a client costs that says nothing.

use std::{io, time::Duration};

use super::{
    Arguments,
    load::Load,
    machine::{self, Processor},
    served::Served,
    transport::Transport,
};

/// How much memory of the server an idle WebSocket may take.
const WEBSOCKET_GOAL_BYTES: u64 = 6 << 10;

/// How much an idle stream or a parked poll may take.
const GOAL_BYTES: u64 = 12 << 10;

/// Clients that come first, so that what is made once is there.
const WARM_UP: u16 = 20;

/// How long nothing happens before the memory is looked at: longer than messages are kept that all
/// have.
const REST: Duration = Duration::from_secs(7);

/// Measures the memory of the server for each client that is in a room of its own. A WebSocket has said
/// one thing, and was told what it said.
pub(crate) fn run(arguments: &Arguments) -> io::Result<()> {
    Processor::Server.keep()?;
    let clients = arguments.clients[0];
    let mut load = Load::start()?;
    let served = Served::start()?;
    let transport = arguments.transport[0];
    served.open(&mut load, transport, WARM_UP, true)?;
    served.rest(Duration::from_secs(1));
    let before = machine::resident_bytes()?;
    served.open(&mut load, transport, clients, true)?;
    let at_once = machine::resident_bytes()?.saturating_sub(before) / u64::from(clients);
    served.rest(REST);
    let each = machine::resident_bytes()?.saturating_sub(before) / u64::from(clients);
    let goal = match transport {
        Transport::WebSocket => WEBSOCKET_GOAL_BYTES,
        _ => GOAL_BYTES,
    };
    println!(
        "{clients} idle clients by {transport}, each in a room of its own: {:.2} KiB each \
         ({:.2} at once){}",
        each as f64 / 1024.0,
        at_once as f64 / 1024.0,
        if each > goal { " !" } else { "" },
    );
    drop(load); // Before what its clients are connected to.
    Ok(())
}
