//! Joining: a machine becomes a node, known by the key that it has made for itself. A node's name belongs to its key. With
//! that, all that is asked about who is known.

use std::net::IpAddr;

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use super::actor::{MOST_ACTORS, MOST_TOKENS};
use crate::hub::actor::{ActorAnswer, ActorChange};
use crate::hub::effect::Effect;
use crate::hub::input::NotAccepted;
use crate::hub::live::NodeRef;
use hal_base::clock::Time;
use hal_protocol::actor::{Actor, Credential, CredentialKind, CredentialState, Role, key_id};
use hal_protocol::fleet_key::FleetKeys;
use hal_protocol::mark::Attribution;
use hal_protocol::who::Who;
use hal_rules::actor::{fault_of_name, joined_as, joined_by};
use hal_rules::command::Refused;
use hal_store::kept::{ACTOR, CREDENTIAL, FLEET_KEYS, OWN_KEYS};

impl Work {
    /// Somebody changes who is known.
    pub(super) fn change_actors(
        &mut self,
        change: ActorChange,
        by: &Who,
        reply: oneshot::Sender<Result<ActorAnswer, NotAccepted>>,
        at: Time,
    ) {
        let answer = match change {
            ActorChange::Set { name, role, is_program } => self.set_actor(&name, role, is_program, by, at),
            ActorChange::Remove { name } => self.remove_actor(&name, by, at),
            ActorChange::NewToken(credential) => self.add_token(credential, by, at),
            ActorChange::NewJoinToken(credential) => self.add_join_token(credential, by, at),
            ActorChange::Join { token, node, key, address } => {
                self.join(&token, &node, &key, address, by, at)
            }
            ActorChange::ShutOut { node } => self.shut_out_for_good(&node, by, at),
            ActorChange::Rotate { id, hash } => self.rotate_token(&id, hash, by, at),
            ActorChange::Revoke { id } => self.end_token(&id, "revoke token", by, at),
            ActorChange::KeepKeys(keys) => Ok(self.keep_fleet_keys(keys, "keep fleet keys", by, at)),
            ActorChange::NewRecoveryKey { keys, before } => self.new_recovery_key(keys, &before, by, at),
            ActorChange::LogIn(session) => self.log_in(session, by, at),
            ActorChange::LogOut { id } => self.end_token(&id, "logout", by, at),
        };
        self.effects.push(Effect::reply(reply, answer.map_err(NotAccepted::Refused)));
    }

    /// The fleet's keys are kept with the store, sealed, as they are now.
    fn keep_fleet_keys(&mut self, keys: FleetKeys, action: &'static str, by: &Who, at: Time) -> ActorAnswer {
        self.put_kept(FLEET_KEYS, OWN_KEYS, &keys, at);
        self.write_down(by, action, &*keys.pin, &json!({}), at);
        ActorAnswer::Keys(keys)
    }

    /// A recovery key is made for them. Whoever holds one that another has replaced meanwhile must not believe in it.
    fn new_recovery_key(
        &mut self,
        keys: FleetKeys,
        before: &str,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        let known = self.view.kept(FLEET_KEYS, OWN_KEYS);
        if known.is_none_or(|known| known.for_recovery != before || known.sealed != keys.sealed) {
            return Err(Refused::Invalid(
                "the keys were changed in this moment: look at them, and ask again".into(),
            ));
        }
        Ok(self.keep_fleet_keys(keys, "make recovery key", by, at))
    }

    /// Somebody makes a token by which machines join.
    pub(super) fn add_join_token(
        &mut self,
        token: Credential,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        self.forget_tokens(at);
        let is_good = |one: &Credential| {
            matches!(one.kind(), CredentialKind::Join { .. }) && one.state(at) == CredentialState::Active
        };
        if self.view.all_kept(CREDENTIAL).filter(|(_, one)| is_good(one)).count() >= MOST_TOKENS {
            return Err(Refused::Invalid(format!(
                "there are {MOST_TOKENS} good tokens for joining already; revoke some: halctl join-token revoke ID"
            )));
        }
        let created = Some(Attribution { by: by.name.clone(), at });
        let token = Credential { created, actor: by.name.clone(), ..token };
        self.put_kept(CREDENTIAL, &token.id, &token, at);
        let args = json!({
            "label": token.label,
            "kind": token.kind_word(),
            "expires_at": token.expires_at.map(|end| end.to_string()),
        });
        self.write_down(by, "create join token", &*token.id, &args, at);
        Ok(ActorAnswer::Token(Role::Agent, token))
    }

    /// A machine shows such a token, and a key that it has made. Asked again it is answered the same.
    pub(super) fn join(
        &mut self,
        token: &str,
        node: &str,
        key: &str,
        address: IpAddr,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        if let Some(fault) = fault_of_name(node, Role::Agent) {
            return Err(Refused::Invalid(fault));
        }
        let token = self.find_token(token)?;
        let CredentialKind::Join { is_once, .. } = token.kind() else {
            return Err(Refused::Invalid("this token lets no machine join".into()));
        };
        if let Some(known) = self.known_key(node, key, at)? {
            return Ok(ActorAnswer::Token(Role::Agent, known));
        }
        match token.state(at) {
            CredentialState::Active => {}
            CredentialState::Expired => {
                return Err(Refused::Invalid(
                    "this token for joining has expired: ask for another line (halctl join-token create)"
                        .into(),
                ));
            }
            CredentialState::Revoked => {
                let was =
                    token.revoked.as_ref().and_then(|revoked| joined_as(&revoked.by)).unwrap_or("somebody");
                return Err(Refused::Invalid(format!(
                    "this token for joining was good once, and node {was} has joined by it: ask for another line (halctl \
                     join-token create)"
                )));
            }
        }
        let actor = self.name_for(node, &token, address, at)?;
        let credential = Credential {
            id: key_id(key),
            actor: node.to_owned(),
            label: format!("joined by token {}", token.id),
            hash: Credential::hash_of_key(key),
            created: Some(Attribution { by: joined_by(node), at }),
            ..Credential::default()
        };
        self.put_kept(ACTOR, node, &actor, at);
        self.put_kept(CREDENTIAL, &credential.id, &credential, at);
        if is_once {
            let token = Credential { revoked: Some(Attribution { by: joined_by(node), at }), ..token };
            self.put_kept(CREDENTIAL, &token.id, &token, at);
        }
        // Whoever has come under its name by the shared token comes in by its key from now on, or not at all.
        self.shut_out(node, "the node has joined, and comes in by its key from now on", at);
        let who = Who { name: joined_by(node), ..by.clone() };
        self.write_down(&who, "join", node, &json!({"key": credential.id}), at);
        Ok(ActorAnswer::Token(Role::Agent, credential))
    }

    /// The credential of this key, when it is the node's and good; refused when it is another's, or was shut out.
    fn known_key(&self, node: &str, key: &str, at: Time) -> Result<Option<Credential>, Refused> {
        let Some(known) = self.view.kept(CREDENTIAL, &key_id(key)) else { return Ok(None) };
        if known.actor != node {
            return Err(Refused::Invalid(format!(
                "this key is that of node {}: a copied data folder? remove the key file and join again, which makes another",
                known.actor
            )));
        }
        if known.key() != Some(key) || known.state(at) != CredentialState::Active {
            return Err(Refused::Invalid(
                "this key was revoked: remove the key file and join again, which makes another".into(),
            ));
        }
        Ok(Some(known))
    }

    /// The actor that a machine may become by this name, which must be nobody else's.
    fn name_for(&self, node: &str, token: &Credential, address: IpAddr, at: Time) -> Result<Actor, Refused> {
        let taken = |why: String| {
            Err(Refused::Invalid(format!(
                "{why}: choose another name (hal-agent join --node-id NAME), or let an administrator end that one first \
                 (halctl nodes revoke {node}) and make another line"
            )))
        };
        if self.view.is_unreadable(ACTOR, node) {
            return Err(Refused::Invalid(format!(
                "what is known of {node} cannot be read: halctl users remove {node}"
            )));
        }
        let known = self.view.kept(ACTOR, node);
        if known.as_ref().is_some_and(|known| known.role != Role::Agent) {
            return taken(format!("{node} is a user"));
        }
        if self.tokens_of(node).iter().any(|token| token.state(at) == CredentialState::Active) {
            return taken(format!("node {node} is known by a key or token of its own"));
        }
        let let_go = known.as_ref().and_then(|known| known.pinned_at);
        let made = token.created.as_ref().map(|created| created.at);
        if let_go.is_some_and(|let_go| made.is_none_or(|made| made <= let_go)) {
            return Err(Refused::Invalid(format!(
                "this token for joining is older than what node {node} was let in by and is no more: ask for another line \
                 (halctl join-token create)"
            )));
        }
        // Its history and its open commands go on from there: to whoever has that address, or the one that an
        // administrator has made room for.
        let there = self.view.find_node(node).map(NodeRef::to_state).filter(|_| let_go.is_none());
        if let Some(there) = there {
            let host = super::node::host_of(&there.record.address).trim_matches(['[', ']']);
            if host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() != address.to_canonical()) {
                let word = if there.link.online { "is connected from" } else { "was last connected from" };
                return taken(format!("node {node} {word} {host}"));
            }
        }
        if known.is_none() && self.view.keys_of(ACTOR).count() >= MOST_ACTORS {
            return Err(Refused::Invalid(format!(
                "there are {MOST_ACTORS} users and nodes with a key already"
            )));
        }
        let created =
            known.and_then(|known| known.created).or_else(|| Some(Attribution { by: joined_by(node), at }));
        Ok(Actor {
            name: node.to_owned(),
            role: Role::Agent,
            is_program: false,
            created,
            pinned_at: Some(at),
        })
    }

    /// A node is let in no more by whatever it has, nor by the shared token. What it has done stays; it may join again.
    pub(super) fn shut_out_for_good(
        &mut self,
        node: &str,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        let known = self.view.kept(ACTOR, node);
        if known.as_ref().is_some_and(|known| known.role != Role::Agent) {
            return Err(Refused::Invalid(format!(
                "{node} is a user, and no node: halctl users remove {node}"
            )));
        }
        if known.is_none() && self.view.find_node(node).is_none() {
            let nodes = self.view.all_kept(ACTOR).filter(|(_, actor)| actor.role == Role::Agent);
            let names = nodes.map(|(name, _)| name);
            return Err(Refused::NoSuch(hal_base::nearest::no_such("node", node, names)));
        }
        let created =
            known.and_then(|known| known.created).or_else(|| Some(Attribution { by: by.name.clone(), at }));
        let actor = Actor {
            name: node.to_owned(),
            role: Role::Agent,
            is_program: false,
            created,
            pinned_at: Some(at),
        };
        self.put_kept(ACTOR, node, &actor, at);
        for mut token in self.tokens_of(node) {
            if token.revoked.is_none() {
                token.revoked = Some(Attribution { by: by.name.clone(), at });
                self.put_kept(CREDENTIAL, &token.id, &token, at);
            }
        }
        self.write_down(by, "revoke node", node, &json!({}), at);
        self.shut_out(node, "it was revoked by an administrator", at);
        Ok(ActorAnswer::Actor(actor))
    }
}
