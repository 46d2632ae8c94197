//! What becomes of a node by what it is licensed for.

use tokio::sync::watch;
use tracing::{Span, warn};

use super::{Node, StartError};
use crate::{
    cluster::{Denied, Permit},
    proto::{MemberState, Pace, licensing::MARGIN},
    runtime::Tasks,
};

/// Waits until the node may be active. If it may not be, it has been shut down.
pub(super) async fn admit(node: &Node) -> Result<(), StartError> {
    let Some(mut permits) = node.inner.mesh.permits() else { return Ok(()) };
    match decided(&mut permits).await {
        Some(Permit::Denied(Denied { max, active, reason })) => {
            node.shutdown().await;
            Err(match reason {
                Some(reason) => StartError::LicenseNotInForce { active, reason },
                None => StartError::MaxLicenses { max, active },
            })
        }
        _ => {
            node.inner.mesh.announce(MemberState::Active).await;
            // Not one of the node's own, for the end of which a shutdown waits.
            Tasks::default().spawn(Span::current(), give_way(node.clone(), permits));
            Ok(())
        }
    }
}

/// Ends the node once it is one too many.
async fn give_way(node: Node, mut permits: watch::Receiver<Permit>) {
    let denied = permits.wait_for(|permit| matches!(permit, Permit::Denied(_)));
    let denied = tokio::select! {
        biased;
        () = node.inner.hub.tasks().cancelled() => return,
        denied = denied => match denied.as_deref() {
            Ok(Permit::Denied(denied)) => denied.clone(),
            _ => return, // The mesh has ended, and with it the node.
        },
    };
    warn!("this node gives way: {}", too_many(denied.max, denied.active));
    let _ = node.inner.denied.set(denied); // Nobody else sets it.
    node.drain(Pace::Within(MARGIN)).await;
}

/// The first permit that is one, or none; nothing if the mesh ends before.
async fn decided(permits: &mut watch::Receiver<Permit>) -> Option<Permit> {
    let decided = permits.wait_for(|permit| *permit != Permit::Pending).await;
    decided.ok().map(|permit| permit.clone())
}

/// What to say to who is one too many.
pub(super) fn too_many(max: u32, active: u32) -> String {
    format!(
        "Maximum Licenced Satellite {max}: {active} nodes are active; \
         stop one of them, or ask for a licence for more"
    )
}
