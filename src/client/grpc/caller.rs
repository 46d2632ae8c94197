//! Who makes a call of gRPC.

use crate::{connection::ClientRequest, proto::Holder};

/// Who makes a call of gRPC, and with what. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) holder: Holder,
    pub(super) request: ClientRequest,
}
