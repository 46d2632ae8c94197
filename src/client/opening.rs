//! A session that is attached before its client has an answer.
//!
//! Who has an answer takes itself to be connected, and may rely on that: what others publish from
//! then on it has to get. So the session is claimed, and its handler has had its first word, which
//! mostly joins a topic, before the response begins.

use std::{sync::Arc, time::Duration};

use tracing::debug;
use uuid::Uuid;

use super::Negotiation;
use crate::{
    connection::ClientRequest,
    id::{SessionId, TopicName},
    proto::{Attached, Core, Detachment},
    runtime::{Call, Front, Hub, Mailbox, Tasks},
};

/// How long a client that is back may have to wait for its session: longer than a death of a node
/// goes unnoticed, after which the others tell what they know of it.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(3);

/// How long news of a session may take from a node that it was on a moment ago.
const NEWS_PATIENCE: Duration = Duration::from_millis(300);

/// How long an answer waits for the handler's first word. After that the client is answered all the
/// same, and what it sends waits for the handler.
const READY_PATIENCE: Duration = Duration::from_secs(5);

/// A session's attachment, which is detached when this is dropped.
#[derive(Debug)]
pub(super) struct Opened {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    attached: Attached,
    /// What the requests are called that are this connection, of a client that speaks postman by them.
    series: Option<u64>,
    /// Whether somebody else sees to it that the attachment is detached.
    is_released: bool,
}

impl Opened {
    /// Attaches the session that a client asks for, if it is one of the client's, or a new one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the session, if it was attached by then.
    ///
    /// # Panics
    ///
    /// If nobody answers for `path`.
    pub(super) async fn open(
        hub: &Arc<Hub>,
        front: &dyn Front,
        tasks: &Tasks,
        (negotiation, request): (&Negotiation, ClientRequest),
        path: &TopicName,
    ) -> Self {
        let asked = negotiation.asked.session();
        if let Some(asked) = asked {
            catch_up(hub, tasks, asked).await;
        }
        let (holder, connection) = (&negotiation.holder, negotiation.connection());
        let path_text = path.as_str();
        let attached = hub.attach(asked, fresh_id(), path_text, holder, connection, Some(request));
        let series = negotiation.is_told_by_requests().then(|| Uuid::new_v4().as_u64_pair().0);
        if let Some(series) = series {
            hub.with(|core, _| core.set_series(attached.key, series));
        }
        if let Some(position) = &negotiation.position {
            hub.with(|core, _| core.resume_at(attached.session, path, position));
        }
        let principal = holder.principal.as_ref();
        let mailbox = front.mailbox(attached.session, path.as_str(), principal);
        let mailbox = mailbox.expect("somebody answers for the path");
        let mut opened = Self::new(Arc::clone(hub), mailbox, attached);
        opened.series = series;
        if opened.is_back(negotiation) {
            opened.mailbox.post(Call::Resumed);
        }
        if opened.attached.ready_due {
            let ready = opened.mailbox.ask(Call::Ready);
            if tokio::time::timeout(READY_PATIENCE, ready).await.is_err() {
                debug!("answered, though the handler is not ready");
            }
        }
        opened
    }

    /// Whether this is news to the handler: who polls comes and goes.
    fn is_back(&self, negotiation: &Negotiation) -> bool {
        let Attached { resumed, ready_due, was_gone, .. } = self.attached;
        resumed && !ready_due && (was_gone || !negotiation.transport.is_polled())
    }

    pub(super) fn new(hub: Arc<Hub>, mailbox: Arc<Mailbox>, attached: Attached) -> Self {
        Self { hub, mailbox, attached, series: None, is_released: false }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    pub(super) fn attached(&self) -> &Attached {
        &self.attached
    }

    pub(super) fn series(&self) -> Option<u64> {
        self.series
    }

    /// Leaves it to the caller to detach the attachment.
    pub(super) fn release(mut self) -> (Arc<Hub>, Arc<Mailbox>, Attached) {
        self.is_released = true;
        (Arc::clone(&self.hub), Arc::clone(&self.mailbox), self.attached)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.is_released {
            self.hub.detach(self.attached.key, Detachment::Lost);
        }
    }
}

/// Waits for news of a session that is unknown here: a client may be faster than the news of it, and
/// a node that has just started, or whose peer has just died, may still have to hear of much.
pub(super) async fn catch_up(hub: &Hub, tasks: &Tasks, asked: SessionId) {
    let is_known = |core: &Core| core.replica().session(asked).is_some();
    let is_here =
        |core: &Core| core.replica().session(asked).is_some_and(|it| it.claim.node == core.id());
    if hub.with(|core, _| core.is_alone() || is_here(core)) {
        return;
    }
    if hub.with(|core, _| is_known(core)) {
        // It may have been elsewhere since: who claims it here should know of that.
        let heard_of = hub.with(|core, _| core.heard_of());
        let news = hub.until(|core| core.replica().applied().includes(&heard_of));
        tokio::select! {
            biased;
            () = tasks.cancelled() => {}
            _ = tokio::time::timeout(NEWS_PATIENCE, news) => {}
        }
        return;
    }
    let unheard_of = async {
        tokio::time::sleep(NEWS_PATIENCE).await;
        hub.until(Core::is_caught_up).await;
    };
    tokio::select! {
        biased;
        () = tasks.cancelled() => {}
        _ = tokio::time::timeout(CATCH_UP_PATIENCE, hub.until(is_known)) => {}
        () = unheard_of => {}
    }
}

/// A session id that nobody can guess.
pub(super) fn fresh_id() -> SessionId {
    SessionId::from_bits(Uuid::new_v4().as_u128())
}
