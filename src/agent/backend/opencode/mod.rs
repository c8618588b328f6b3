//! A true `opencode serve`, over HTTP and its event stream.

use crate::agent::backend::{BackendError, Deed, Settled};
use crate::protocol::command::CommandId;

/// The opencode backend.
#[derive(Clone, Debug)]
pub struct Opencode {}

impl Opencode {
    pub(crate) async fn carry_out(&self, _command: &CommandId, _deed: Deed) -> Result<String, BackendError> {
        Err(BackendError::Refused("not yet".into()))
    }

    pub(crate) async fn settle(&self, _command: &CommandId, _deed: &Deed) -> Settled {
        Settled::Unknown
    }

    pub(crate) async fn stop(&self) {}
}
