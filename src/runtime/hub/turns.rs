//! What attachments are to do next.

use std::task::{Context, Poll};

use super::{Hub, State, Turn};
use crate::{
    id::SessionId,
    proto::{AttachmentKey, Batch, Budget},
};

impl Hub {
    /// What an attachment is to do next, into `batch` if it is to write. Unless there is
    /// [more](Batch::more), its task is woken once there is something.
    pub(crate) fn poll_turn(
        &self,
        key: AttachmentKey,
        budget: Budget,
        batch: &mut Batch,
        cx: &Context<'_>,
    ) -> Poll<Turn> {
        let turn = self.poll_let_pass(key, budget, batch, cx);
        #[cfg(feature = "otel")]
        self.trace(key, batch);
        turn
    }

    /// As [`poll_turn`](Self::poll_turn), without the spans.
    fn poll_let_pass(
        &self,
        key: AttachmentKey,
        budget: Budget,
        batch: &mut Batch,
        cx: &Context<'_>,
    ) -> Poll<Turn> {
        loop {
            let turn = self.poll_unfiltered(key, budget, batch, cx);
            if self.filters.let_all_pass() || batch.entries.is_empty() {
                return turn;
            }
            self.filter(key, batch);
            if !batch.is_empty() {
                return turn;
            }
            self.with(|core, _| core.forgo(key));
            if !batch.more {
                return Poll::Pending;
            }
        }
    }

    /// As [`poll_turn`](Self::poll_turn), with what filters do not let pass.
    fn poll_unfiltered(
        &self,
        key: AttachmentKey,
        budget: Budget,
        batch: &mut Batch,
        cx: &Context<'_>,
    ) -> Poll<Turn> {
        let mut state = self.state.lock();
        let State { core, slots, now, samples, .. } = &mut *state;
        let slot = slots.get_mut(&key).expect("an attachment has a slot until it is detached");
        if let Some(close) = &slot.ended {
            return Poll::Ready(Turn::End(close.clone()));
        }
        core.read_into(key, budget, batch);
        // Also if there is more: it may wait for the socket, and be ended meanwhile.
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        match batch.is_empty() {
            true => Poll::Pending,
            false => {
                samples.look_at_delivery(core, slot.since, batch, &self.counters);
                Poll::Ready(Turn::Write { now: *now })
            }
        }
    }

    /// Whose attachment it is.
    pub(in crate::runtime) fn session_of(&self, key: AttachmentKey) -> Option<SessionId> {
        self.state.lock().core.session_of(key)
    }

    /// Takes out of a batch what filters do not let pass. Outside the lock: they are the application's.
    fn filter(&self, key: AttachmentKey, batch: &mut Batch) {
        if let Some(session) = self.session_of(key) {
            let mut withheld = Vec::new();
            batch.entries.retain(|entry| {
                let is_let_pass = self.filters.deliver(session, entry);
                withheld.extend((!is_let_pass).then(|| entry.id()));
                is_let_pass
            });
            if !withheld.is_empty() {
                self.with(|core, _| core.note_withheld(session, withheld));
            }
        }
    }
}
