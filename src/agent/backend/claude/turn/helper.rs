//! Helpers of a session: each is a session of its own, with a parent.

use super::{ClaudeTurn, Helper};
use crate::backend::claude::words::TaskSaid;
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::what::{TurnTold, What};
use hal_protocol::session::SessionId;

/// What a task is called that is a helper.
const HELPER: &str = "local_agent";

impl ClaudeTurn {
    /// Whose something is, by the call that started a helper.
    pub(super) fn owner(&self, call: Option<&str>) -> SessionId {
        let helper = call.and_then(|call| self.helpers.get(call));
        helper.map_or_else(|| self.base.id.clone(), |helper| helper.session.clone())
    }

    pub(super) async fn helper_started(&mut self, said: TaskSaid) {
        if said.task_type != HELPER || said.tool_use_id.is_empty() {
            return;
        }
        let parent = self
            .base
            .calls
            .get(&said.tool_use_id)
            .map_or_else(|| self.base.id.clone(), |call| call.session.clone());
        let session = SessionId::new(format!("{}_{}", self.base.id, said.task_id));
        let told = self.told_of(&session, Some((&said.description, parent)));
        self.base.voice.say(&session, &What::SessionCreated(told)).await;
        if !said.prompt.is_empty() {
            self.base.voice.heard(&session, &format!("{}_prompt", said.task_id), &said.prompt, None).await;
        }
        self.base.voice.say(&session, &What::Status(Some(TurnTold::Busy))).await;
        let helper = Helper { session, task: said.task_id, is_busy: true };
        self.helpers.insert(said.tool_use_id, helper);
    }

    pub(super) async fn helper_ended(&mut self, said: &TaskSaid) {
        let Some(helper) = self.helpers.values_mut().find(|helper| helper.task == said.task_id) else {
            return;
        };
        if !std::mem::take(&mut helper.is_busy) {
            return;
        }
        let session = helper.session.clone();
        let kind = match said.status.as_str() {
            "completed" => None,
            "failed" => Some(FailureKind::Other),
            _ => Some(FailureKind::Aborted),
        };
        if let Some(kind) = kind {
            let (name, message) = (said.status.clone(), said.summary.clone());
            let failure = Failure { kind, name, message, http_status: None };
            self.base.voice.say(&session, &What::Failed(Some(failure))).await;
        }
        self.base.voice.say(&session, &What::Status(Some(TurnTold::Over))).await;
        self.base.voice.say(&session, &What::Idle).await;
    }
}
