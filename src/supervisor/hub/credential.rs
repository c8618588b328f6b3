//! Credentials, as the view has them: whose each is, and whether it is good.

use std::sync::Arc;

use super::view::View;
use hal_base::clock::Time;
use hal_protocol::actor::{Actor, Credential, Role};
use hal_store::kept::{ACTOR, CREDENTIAL};
use hal_store::state;

impl View {
    /// The credential of this name, and whose it is. `None`: there is none that can be read.
    pub fn credential(&self, id: &str) -> Option<(&Arc<Credential>, Option<&Arc<Actor>>)> {
        let row = self.stored.state.get(&state::name(CREDENTIAL.name, id))?;
        // A row that an operator has given another name than it says is nobody's.
        let credential = CREDENTIAL.of(row.value.as_ref().ok()?).filter(|credential| credential.id == id)?;
        Some((credential, self.actor(&credential.actor)))
    }

    /// The actor of this name.
    pub fn actor(&self, name: &str) -> Option<&Arc<Actor>> {
        let row = self.stored.state.get(&state::name(ACTOR.name, name))?;
        ACTOR.of(row.value.as_ref().ok()?).filter(|actor| actor.name == name)
    }

    /// True while whoever came in by this credential with this hash, and with this role, still may.
    pub fn still_admits(&self, id: &str, hash: &str, role: Role, at: Time) -> bool {
        self.credential(id).is_some_and(|(credential, actor)| {
            credential.hash == hash
                && actor.is_some_and(|actor| actor.role == role)
                && hal_rules::actor::why_not(credential, actor.map(|actor| &**actor), at).is_none()
        })
    }
}
