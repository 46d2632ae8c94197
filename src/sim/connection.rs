//! A simulated client's connections: both ends of them.
//!
//! The node's end does what `client::attachment` does, without bytes.

use std::{future::poll_fn, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Client, machine::Machine, network::Network, seat::Seat};
use crate::{
    connection::{self, Evidence, Transport},
    id::{SessionId, TopicName},
    proto::{AttachmentKey, Batch, Budget, Close, CloseCode, Core, Detachment, Holder, Push},
    runtime::{Call, Front, Hub, Mailbox, Turn},
};

/// What handlers see of how clients are connected.
const CONNECTED: connection::Connection =
    connection::Connection { transport: Transport::WebSocket, evidence: Evidence::Client };

/// How much is taken from the logs at once.
const BUDGET: Budget = Budget { messages: 256, bytes: 64 << 10 };

/// How long a client that is back may have to wait for its session.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a client waits before it comes back.
const RETRY: Duration = Duration::from_millis(200);

/// What a client is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// To be connected to the node at this place, or to the next that runs.
    Connected(usize),
    /// To be away, and perhaps come back.
    Away,
    /// To be gone for good.
    Over,
}

/// A connection to one node.
struct Connection {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    key: AttachmentKey,
}

/// Does what a client is to do, until it is over.
pub(super) async fn run(network: Arc<Network>, path: TopicName, holder: Holder, client: Client) {
    let (seat, mut wish) = (client.seat(), client.wishes());
    loop {
        let wished = *wish.borrow_and_update();
        let place = match wished {
            Wish::Connected(place) => place,
            Wish::Away => {
                let _ = wish.changed().await; // The sender is the client's, which is there.
                continue;
            }
            Wish::Over => return,
        };
        if let Some(machine) = network.machine_from(place)
            && let Some(close) = connect(&network, &machine, &path, &holder, seat, &mut wish).await
        {
            seat.lock().ended = Some(close);
            return;
        }
        if *wish.borrow() == wished {
            sleep(RETRY + network.latency()).await;
        }
    }
}

/// Serves one connection. Says why the session is over, if it is.
async fn connect(
    network: &Network,
    machine: &Machine,
    path: &TopicName,
    holder: &Holder,
    seat: &Mutex<Seat>,
    wish: &mut watch::Receiver<Wish>,
) -> Option<Close> {
    sleep(network.latency()).await;
    let asked = seat.lock().session;
    if let Some(asked) = asked {
        catch_up(&machine.hub, asked).await;
    }
    let (fresh, path) = (network.fresh_session(), path.as_str());
    let attached = machine.hub.attach(asked, fresh, path, holder, CONNECTED, None);
    let mailbox = machine.routes.mailbox(attached.session, path, holder.principal.as_ref());
    let mailbox = mailbox.expect("there is a route for the path");
    if attached.ready_due {
        mailbox.post(Call::Ready);
    }
    seat.lock().handle_attached(attached.session, network.roll());
    let connection = Connection { hub: Arc::clone(&machine.hub), mailbox, key: attached.key };
    let ended = tokio::select! {
        biased;
        () = machine.crashed() => None,
        _ = wish.changed() => None,
        close = connection.serve(network, seat) => Some(close),
    };
    seat.lock().is_connected = false;
    if machine.is_crashed() {
        return None; // It has not noticed.
    }
    if *wish.borrow() == Wish::Over {
        connection.hub.with(|core, now| core.close_from(connection.key, now));
    }
    connection.hub.detach(connection.key, Detachment::Lost);
    let is_final = |close: &Close| {
        matches!(close.code, CloseCode::Normal | CloseCode::Forbidden | CloseCode::Superseded)
    };
    ended.filter(is_final)
}

/// Waits for news of a session that is unknown here.
async fn catch_up(hub: &Hub, asked: SessionId) {
    let is_known = |core: &Core| core.replica().session(asked).is_some();
    let news = hub.until(|core| is_known(core) || core.is_caught_up());
    let _ = timeout(CATCH_UP_PATIENCE, news).await; // Then it begins anew.
}

impl Connection {
    /// Serves the client until the node ends the connection.
    async fn serve(&self, network: &Network, seat: &Mutex<Seat>) -> Close {
        let mut batch = Batch::default();
        loop {
            let turn = poll_fn(|cx| {
                seat.lock().pusher = Some(cx.waker().clone());
                self.push(seat);
                self.hub.poll_turn(self.key, BUDGET, &mut batch, cx)
            });
            if let Turn::End(close) = turn.await {
                return close;
            }
            sleep(network.latency()).await;
            self.hand_over(&mut batch, seat);
            let Some(mark) = self.hub.with(|core, _| core.mark(self.key)) else { continue };
            sleep(network.latency()).await;
            self.hub.with(|core, _| core.acknowledge(self.key, mark));
        }
    }

    /// Pushes what this connection has not pushed yet, as far as the node takes it.
    fn push(&self, seat: &Mutex<Seat>) {
        loop {
            let Some((key, message)) = seat.lock().to_push() else { return };
            match self.hub.with(|core, now| core.push(self.key, &key, &message, now)) {
                Push::Accepted => seat.lock().handle_pushed(&key),
                Push::Later => return,
                Push::Refused(_) => seat.lock().handle_refused(&key),
            }
        }
    }

    /// Hands the client what was written.
    fn hand_over(&self, batch: &mut Batch, seat: &Mutex<Seat>) {
        let mut seat = seat.lock();
        for acknowledgement in batch.acknowledged.drain(..) {
            seat.handle_acknowledged(&acknowledgement.key);
        }
        for gap in batch.gaps.drain(..) {
            seat.gaps += 1;
            self.mailbox.post(Call::Gap(gap));
        }
        batch.entries.drain(..).for_each(|entry| seat.handle_message(&entry));
    }
}
