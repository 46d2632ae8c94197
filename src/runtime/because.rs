//! What a task does on behalf of a push carries the push as its cause.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::id::{Cause, PushKey, SessionId};

tokio::task_local! {
    /// The push that this task's handler was told of.
    static PUSH: Arc<Push>;
}

struct Push {
    session: SessionId,
    key: PushKey,
    /// How much it has led to.
    effects: AtomicU32,
}

/// Runs a handler that was told of a push.
pub(crate) async fn because<F: Future>(session: SessionId, key: PushKey, handler: F) -> F::Output {
    let push = Push { session, key, effects: AtomicU32::new(0) };
    PUSH.scope(Arc::new(push), handler).await
}

/// The cause of what this task is about to do, if it runs a handler that was told of a push. What a
/// handler lets other tasks do has no cause.
pub(crate) fn next_cause() -> Option<Cause> {
    let count = |push: &Arc<Push>| {
        let index = push.effects.fetch_add(1, Ordering::Relaxed);
        Cause::new(push.session, push.key.clone(), index)
    };
    PUSH.try_with(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handlers_effects_are_counted() {
        assert_eq!(next_cause(), None);
        let (session, key) = (SessionId::from_bits(1), PushKey::Named("a".into()));
        let indices = because(session, key, async {
            let first = next_cause().unwrap().index;
            tokio::task::yield_now().await;
            (first, next_cause().unwrap().index)
        });
        assert_eq!(indices.await, (0, 1));
        assert_eq!(next_cause(), None);
    }
}
