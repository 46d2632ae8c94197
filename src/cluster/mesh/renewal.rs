//! The task that looks whether the certificates of a node have been renewed.

use std::sync::Arc;

use tracing::{info, warn};

use super::Shared;
use crate::{
    cluster::{
        endpoint,
        security::{PkiError, PkiFiles},
    },
    runtime::Stamps,
};

/// Uses what is in the files as soon as they change, until the node ends.
pub(super) async fn run(shared: Arc<Shared>, files: PkiFiles) {
    let tasks = shared.hub.tasks().clone();
    let mut stamps = files.stamps();
    loop {
        tokio::select! {
            biased;
            () = tasks.cancelled() => return,
            () = tasks.look_due() => {}
        }
        look(&shared, &files, &mut stamps);
    }
}

/// Takes the files as they are, if they have changed.
fn look(shared: &Shared, files: &PkiFiles, stamps: &mut Stamps) {
    let now = files.stamps();
    if now == *stamps {
        return;
    }
    *stamps = now;
    match renew(shared, files) {
        Ok(()) => info!("peers are shown a new certificate from now on"),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            warn!(error, "the certificate has changed, and the old one is used on");
        }
    }
}

fn renew(shared: &Shared, files: &PkiFiles) -> Result<(), PkiError> {
    let identity = files.load(&shared.cluster)?;
    let dialing = endpoint::renew(&shared.endpoint, &identity).map_err(PkiError::Made)?;
    *shared.dialing.lock() = dialing;
    Ok(())
}
