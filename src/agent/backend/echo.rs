//! A backend that follows words in the prompt: the demo for people without a coding agent.

use super::{BackendError, Deed, Settled};
use crate::protocol::command::CommandId;

/// The echo backend.
#[derive(Clone, Debug)]
pub struct Echo {}

impl Echo {
    pub(super) async fn carry_out(&self, _command: &CommandId, _deed: Deed) -> Result<String, BackendError> {
        Err(BackendError::Refused("not yet".into()))
    }

    pub(super) async fn settle(&self, _command: &CommandId, _deed: &Deed) -> Settled {
        Settled::Unknown
    }

    pub(super) async fn stop(&self) {}
}
