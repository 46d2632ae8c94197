//! How a node leaves without its clients noticing much.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::{sleep_until, timeout};
use tracing::{Span, info, warn};

use super::{Inner, Node, SHUTDOWN_STEP};
use crate::{
    proto::{Close, CloseCode, MemberState, Pace, Roster},
    runtime::{Tasks, clock},
};

/// How long the others are waited for to say where clients reach them, if they have just come.
const NEWS_PATIENCE: Duration = Duration::from_secs(1);

impl Node {
    /// Leaves the cluster without haste: takes no new clients, sends those that it has to other nodes
    /// at this pace, and [shuts down](Self::shutdown) then. All nodes see it as
    /// [draining](MemberState::Draining) meanwhile.
    ///
    /// Nothing is lost, and no session ends: the others have all that this node has, and each client
    /// finds what it has not had yet where it goes. Those that speak postman, and bare WebSockets, are
    /// told where that is, if other nodes have a [`public_url`](crate::Builder::public_url): the live
    /// ones in turns. All others come back by whatever led them here, such as a load balancer, to which
    /// this node answers 503 from now on when a client wants to begin.
    ///
    /// If there is no other node, there is nowhere to go, and what is not [stored](crate::Builder::store)
    /// is lost with this one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the node draining, with some of its clients: call this again, or
    /// [`shutdown`](Self::shutdown), to go on.
    pub async fn drain(&self, pace: Pace) {
        let Inner { hub, mesh, .. } = &*self.inner;
        mesh.announce(MemberState::Draining).await;
        let mut roster = mesh.roster();
        let all_told = |roster: &Roster| roster.members().iter().all(|it| it.this || it.has_told());
        // Who has just come may not have said yet where clients reach it.
        let _ = timeout(NEWS_PATIENCE, roster.wait_for(all_told)).await;
        hub.turn_away(farewell(&roster.borrow(), 0));
        if roster.borrow().members().len() == 1 {
            warn!("there is no other node for the clients of this one to go to");
        }
        let (clients, began) = (hub.attachments(), clock::now());
        let total = clients.len();
        info!(clients = total, "draining");
        for (number, client) in clients.into_iter().enumerate() {
            sleep_until((began + pace.turn(number, total)).into()).await;
            let close = farewell(&roster.borrow(), number);
            hub.turn_away(close.clone());
            hub.send_away(client, close);
        }
        // Who polls is told by the answer to the next poll.
        if timeout(SHUTDOWN_STEP, hub.until_empty()).await.is_err() {
            warn!("some clients do not go");
        }
        self.shutdown().await;
    }

    /// Drains the node once whoever asks for it has been answered: so many clients a second, or at
    /// the usual pace.
    pub(super) fn drain_later(&self, per_second: Option<NonZeroU32>) {
        let pace = per_second.map(Pace::PerSecond).unwrap_or_default();
        let node = self.clone();
        // Not one of the node's own, for the end of which a shutdown waits.
        Tasks::default().spawn(Span::current(), async move { node.drain(pace).await });
    }
}

/// What the client whose turn comes as `number` is told.
fn farewell(roster: &Roster, number: usize) -> Close {
    let is_host = |member: &&crate::Member| !member.this && member.state() == MemberState::Active;
    let hosts = roster.members().iter().filter(is_host).filter_map(|member| member.url());
    let hosts: Vec<_> = hosts.collect();
    match hosts.is_empty() {
        true => Close::new(CloseCode::GoingAway, "this node drains; another may have you"),
        false => Close::go_to(hosts[number % hosts.len()]),
    }
}
