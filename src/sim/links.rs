//! A link between two nodes: four lanes each way, as in `cluster`, of bytes that take their time.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::{sync::mpsc, time::sleep_until};
use tracing::Span;

use super::{machine::Machine, network::Network};
use crate::{
    id::NodeId,
    proto::{Lane, wire::Frame},
    runtime::{Hub, Tasks, clock},
};

/// How much is taken from the core at once.
const BATCH_BYTES: usize = 64 << 10;

/// How many frames of a lane are under way. At the limit the sender waits, as for a window.
const UNDER_WAY: usize = 256;

/// Bytes on their way, and when they get there.
type Parcel = (Instant, Bytes);

/// One lane, one way.
#[derive(Clone)]
struct Wire {
    network: Arc<Network>,
    way: (usize, usize),
    generation: u64,
    lane: Lane,
}

/// There is a link between two nodes from now on, until its generation is over.
pub(super) fn make(
    network: &Arc<Network>,
    tasks: &Tasks,
    (a, b): (usize, usize),
    generation: u64,
    [one, other]: [&Machine; 2],
) {
    let [have, other_have] =
        [one, other].map(|machine| machine.hub.with(|core, _| core.replica().applied().clone()));
    one.hub.with(|core, now| core.handle_link_up(other.id(), other_have, now));
    other.hub.with(|core, now| core.handle_link_up(one.id(), have, now));
    for (way, from, to) in [((a, b), one, other), ((b, a), other, one)] {
        for lane in Lane::ALL {
            let wire = Wire { network: Arc::clone(network), way, generation, lane };
            let (out, parcels) = mpsc::channel(UNDER_WAY);
            let sending = send(wire.clone(), Arc::clone(&from.hub), to.id(), out);
            tasks.spawn(Span::none(), sending);
            tasks.spawn(Span::none(), deliver(wire, Arc::clone(&to.hub), from.id(), parcels));
        }
    }
}

/// Sends what a node has for another.
async fn send(wire: Wire, hub: Arc<Hub>, to: NodeId, out: mpsc::Sender<Parcel>) {
    let Wire { network, way, generation, lane } = wire;
    let mut arrives = clock::now();
    loop {
        let due = hub.lane(lane);
        let (frames, later) = hub.with(|core, now| {
            let frames = core.poll_transmit(to, lane, BATCH_BYTES, now);
            (frames, core.poll_reports(to).filter(|_| lane == Lane::Progress))
        });
        if frames.is_empty() {
            tokio::select! {
                biased;
                () = network.ended(way, generation) => return,
                () = due => {}
                () = sleep_until(later.unwrap_or_else(clock::far_off).into()) => {}
            }
            continue;
        }
        for frame in frames {
            // Nothing overtakes what was said before on the same lane.
            arrives = arrives.max(clock::now() + network.latency());
            if out.send((arrives, frame.to_bytes())).await.is_err() {
                return;
            }
        }
    }
}

/// Hands a node what another has sent, in order. What is under way when the link ends is lost.
async fn deliver(wire: Wire, hub: Arc<Hub>, from: NodeId, mut parcels: mpsc::Receiver<Parcel>) {
    let Wire { network, way, generation, .. } = wire;
    while let Some((arrives, bytes)) = parcels.recv().await {
        sleep_until(arrives.into()).await;
        if !network.passes(way, generation).await {
            return;
        }
        let frame = Frame::decode(&bytes).expect("nodes send frames");
        hub.with(|core, now| core.handle_frame(from, frame, now));
    }
}
