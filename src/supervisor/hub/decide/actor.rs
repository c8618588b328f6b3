//! Actors: who is known, and what each shows for it. Whoever is removed or revoked is out with the commit.

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use crate::hub::actor::ActorAnswer;
use crate::hub::effect::Effect;
use crate::hub::input::{From, Greeted, Link};
use crate::hub::live::NodeRef;
use hal_base::clock::Time;
use hal_base::nearest::no_such;
use hal_protocol::actor::{Actor, Credential, CredentialKind, CredentialState, Role};
use hal_protocol::frame::Hello;
use hal_protocol::mark::Attribution;
use hal_protocol::node::NodeId;
use hal_protocol::who::Who;
use hal_rules::actor::{fault_of_name, is_last_admin};
use hal_rules::command::Refused;
use hal_store::kept::{ACTOR, CREDENTIAL};

/// Actors at most: every one of them is looked through when names are listed.
pub(super) const MOST_ACTORS: usize = 10_000;

/// Good tokens of one actor, and of those that have ended as many.
pub(super) const MOST_TOKENS: usize = 100;

/// Browsers in which one actor is logged in.
const MOST_BROWSERS: usize = 50;

/// Tokens that were revoked or have expired are listed for so long.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);

impl Work {
    pub(super) fn find_actor(&self, name: &str) -> Result<Actor, Refused> {
        let known = || self.view.all_kept(ACTOR).map(|(name, _)| name);
        self.view.kept(ACTOR, name).ok_or_else(|| Refused::NoSuch(no_such("user", name, known())))
    }

    pub(super) fn find_token(&self, id: &str) -> Result<Credential, Refused> {
        let known = || self.view.all_kept(CREDENTIAL).map(|(id, _)| id);
        self.view.kept(CREDENTIAL, id).ok_or_else(|| Refused::NoSuch(no_such("token", id, known())))
    }

    /// Refuses what would leave nobody who can change anything.
    fn keep_an_admin(&self, name: &str) -> Result<(), Refused> {
        if !is_last_admin(self.view.all_kept(ACTOR).map(|(_, actor)| &**actor), name) {
            return Ok(());
        }
        Err(Refused::Invalid(format!(
            "{name} is the last administrator: make another one first (halctl users create NAME --role admin)"
        )))
    }

    pub(super) fn set_actor(
        &mut self,
        name: &str,
        role: Role,
        is_program: bool,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        if let Some(fault) = fault_of_name(name, role) {
            return Err(Refused::Invalid(fault));
        }
        let before = self.view.kept(ACTOR, name);
        let (is_node, was_node) = (role == Role::Agent, before.as_ref().map(|it| it.role == Role::Agent));
        if was_node.is_some_and(|was_node| was_node != is_node) {
            return Err(Refused::Invalid(format!(
                "{name} is {}: its tokens would open another door; remove it first (halctl users remove {name})",
                if is_node { "no machine" } else { "a machine" }
            )));
        }
        if role != Role::Admin {
            self.keep_an_admin(name)?;
        }
        if before.is_none() && self.view.keys_of(ACTOR).count() >= MOST_ACTORS {
            return Err(Refused::Invalid(format!(
                "there are {MOST_ACTORS} users already; remove some: halctl users remove NAME"
            )));
        }
        let created = before.as_ref().and_then(|actor| actor.created.clone());
        let created = created.or_else(|| Some(Attribution { by: by.name.clone(), at }));
        let pinned_at = before.as_ref().and_then(|actor| actor.pinned_at);
        let actor = Actor { name: name.to_owned(), role, is_program, created, pinned_at };
        self.put_kept(ACTOR, name, &actor, at);
        let args = json!({"role": role, "before": before.as_ref().map(|actor| actor.role)});
        let action = if before.is_some() { "change user" } else { "add user" };
        self.write_down(by, action, name, &args, at);
        Ok(ActorAnswer::Actor(actor))
    }

    pub(super) fn remove_actor(&mut self, name: &str, by: &Who, at: Time) -> Result<ActorAnswer, Refused> {
        let actor = match self.find_actor(name) {
            Ok(actor) => actor,
            // Nobody gets in by a row that cannot be read; this is the way to be rid of it.
            Err(_) if self.view.is_unreadable(ACTOR, name) => {
                Actor { name: name.to_owned(), ..Actor::default() }
            }
            Err(none) => return Err(none),
        };
        self.keep_an_admin(name)?;
        for mut token in self.tokens_of(name) {
            if token.revoked.is_none() {
                token.revoked = Some(Attribution { by: by.name.clone(), at });
                self.put_kept(CREDENTIAL, &token.id, &token, at);
            }
        }
        self.delete_kept(ACTOR, name);
        self.write_down(by, "remove user", name, &json!({"role": actor.role}), at);
        if actor.role == Role::Agent {
            self.shut_out(name, "it was removed by an administrator", at);
        }
        Ok(ActorAnswer::Actor(actor))
    }

    pub(super) fn tokens_of(&self, name: &str) -> Vec<Credential> {
        // Lines by which machines join are nobody's: they are good without whoever has made them.
        let is_its =
            |token: &Credential| token.actor == name && !matches!(token.kind(), CredentialKind::Join { .. });
        let all = self.view.all_kept(CREDENTIAL).filter(|(_, token)| is_its(token));
        all.map(|(_, token)| Credential::clone(token)).collect()
    }

    pub(super) fn add_token(
        &mut self,
        token: Credential,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        let actor = self.find_actor(&token.actor)?;
        self.forget_tokens(at);
        let its = self.tokens_of(&actor.name);
        let is_good = |one: &&Credential| one.state(at) == CredentialState::Active && !is_browser(one);
        if its.iter().filter(is_good).count() >= MOST_TOKENS {
            return Err(Refused::Invalid(format!(
                "{} has {MOST_TOKENS} good tokens already; revoke some: halctl tokens revoke ID",
                actor.name
            )));
        }
        self.forget_oldest_tokens(its, at);
        let token = Credential { created: Some(Attribution { by: by.name.clone(), at }), ..token };
        self.put_kept(CREDENTIAL, &token.id, &token, at);
        let args = json!({
            "user": token.actor,
            "label": token.label,
            "expires_at": token.expires_at.map(|end| end.to_string()),
        });
        self.write_down(by, "create token", &*token.id, &args, at);
        Ok(ActorAnswer::Token(actor.role, token))
    }

    /// The oldest of those that have ended make room.
    fn forget_oldest_tokens(&mut self, mut its: Vec<Credential>, at: Time) {
        its.retain(|token| token.state(at) != CredentialState::Active);
        its.sort_by_key(made_at);
        for over in its.iter().rev().skip(MOST_TOKENS) {
            self.delete_kept(CREDENTIAL, &over.id);
        }
    }

    /// A browser is logged in. Nobody is kept out by browsers that were left logged in: the oldest is logged out.
    pub(super) fn log_in(&mut self, session: Credential, by: &Who, at: Time) -> Result<ActorAnswer, Refused> {
        self.forget_tokens(at);
        let its = self.tokens_of(&session.actor);
        let mut open: Vec<_> =
            its.iter().filter(|one| one.state(at) == CredentialState::Active && is_browser(one)).collect();
        open.sort_by_key(|one| made_at(one));
        for oldest in open.iter().rev().skip(MOST_BROWSERS - 1) {
            let revoked = Some(Attribution { by: "supervisor".to_owned(), at });
            let over = Credential { revoked, ..Credential::clone(oldest) };
            self.put_kept(CREDENTIAL, &over.id, &over, at);
        }
        self.forget_oldest_tokens(its, at);
        let role = self.view.kept(ACTOR, &session.actor).map_or(Role::Admin, |actor| actor.role);
        let session = Credential { created: Some(Attribution { by: by.name.clone(), at }), ..session };
        self.put_kept(CREDENTIAL, &session.id, &session, at);
        let args = json!({
            "user": session.actor,
            "browser": session.label,
            "expires_at": session.expires_at.map(|end| end.to_string()),
        });
        self.write_down(by, "login", &*session.id, &args, at);
        Ok(ActorAnswer::Token(role, session))
    }

    pub(super) fn rotate_token(
        &mut self,
        id: &str,
        hash: String,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        let token = self.find_token(id)?;
        let actor = self.find_actor(&token.actor)?;
        if is_browser(&token) {
            return Err(Refused::Invalid(format!(
                "{id} is a browser session and has no token: end it (halctl tokens revoke {id}) and log in again"
            )));
        }
        if token.revoked.is_some() {
            return Err(Refused::Invalid(format!(
                "token {id} was revoked; make another one: halctl tokens create {}",
                token.actor
            )));
        }
        if !matches!(token.kind(), CredentialKind::Token(_)) {
            return Err(Refused::Invalid(format!("{id} is no token whose secret can be replaced")));
        }
        let token = Credential { hash, ..token };
        self.put_kept(CREDENTIAL, id, &token, at);
        self.write_down(by, "rotate token", id, &json!({"user": token.actor}), at);
        if actor.role == Role::Agent {
            self.shut_out(&actor.name, "its token was replaced by another one", at);
        }
        Ok(ActorAnswer::Token(actor.role, token))
    }

    pub(super) fn end_token(
        &mut self,
        id: &str,
        action: &str,
        by: &Who,
        at: Time,
    ) -> Result<ActorAnswer, Refused> {
        let token = match self.find_token(id) {
            Ok(token) => token,
            Err(_) if self.view.is_unreadable(CREDENTIAL, id) => {
                Credential { id: id.to_owned(), ..Credential::default() }
            }
            Err(none) => return Err(none),
        };
        let role = self.view.kept(ACTOR, &token.actor).map(|actor| actor.role).unwrap_or_default();
        // Said again it changes nothing: who was first stays on the record.
        if token.revoked.is_some() {
            return Ok(ActorAnswer::Token(role, token));
        }
        let token = Credential { revoked: Some(Attribution { by: by.name.clone(), at }), ..token };
        self.put_kept(CREDENTIAL, id, &token, at);
        self.write_down(by, action, id, &json!({"user": token.actor}), at);
        let is_of_node = !matches!(token.kind(), CredentialKind::Join { .. } | CredentialKind::Browser(_));
        if role == Role::Agent && is_of_node {
            self.shut_out(&token.actor, "its token was revoked", at);
        }
        Ok(ActorAnswer::Token(role, token))
    }

    /// An agent has said hello, with a token of its own or the one that all share.
    pub(super) fn come_in(
        &mut self,
        hello: Hello,
        address: String,
        own: Option<&Credential>,
        link: Link,
        reply: oneshot::Sender<Greeted>,
        at: Time,
    ) {
        match self.pin(&hello.node_id, own, at) {
            Ok(()) => self.connect(hello, address, link, reply, at),
            Err(refused) => self.effects.push(Effect::reply(reply, Err(refused))),
        }
    }

    /// A node that has come in by a token of its own once comes in by no other any more.
    fn pin(&mut self, node: &NodeId, own: Option<&Credential>, at: Time) -> Result<(), String> {
        // Asked again here: what was good as it knocked may have been revoked by an input before this one.
        if let Some(own) = own.filter(|own| !self.view.still_admits(&own.id, &own.hash, Role::Agent, at)) {
            return Err(format!("token {} is good no more", own.id));
        }
        let name = node.as_str();
        if self.view.is_unreadable(ACTOR, name) {
            return Err(format!("what is known of node {name} cannot be read: halctl users remove {name}"));
        }
        let Some(actor) = self.view.kept(ACTOR, name).filter(|actor| actor.role == Role::Agent) else {
            return Ok(());
        };
        match (actor.pinned_at, own.is_some()) {
            (Some(_), false) => Err(format!(
                "node {name} has a token of its own, and comes in by no other: an administrator can give it one (halctl \
                 tokens create {name}) or let the shared one do again (halctl users remove {name})"
            )),
            (None, true) => {
                // Whoever has come under its name by the shared token, as anybody could, is not the node from now on.
                self.shut_out(name, "the node has come by a token of its own", at);
                self.put_kept(ACTOR, name, &Actor { pinned_at: Some(at), ..actor }, at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The connection of a node ends: what it came in by is good no more. What it has said and is not yet taken is void.
    pub(super) fn shut_out(&mut self, node: &str, why: &str, at: Time) {
        let known = self.view.find_node(node).map(NodeRef::to_state);
        if let Some(known) = known.filter(|known| known.link.online) {
            let from = From { node: NodeId::new(node), epoch: known.record.epoch };
            self.close(&from, why, at);
        }
    }

    /// Drops what has ended long ago.
    pub(super) fn forget_tokens(&mut self, at: Time) {
        let over = self.view.all_kept(CREDENTIAL).filter(|(_, token)| {
            let ended = token.revoked.as_ref().map(|revoked| revoked.at).or(token.expires_at);
            ended.is_some_and(|ended| at.since(ended) > REMEMBERED)
        });
        let over: Vec<String> = over.map(|(id, _)| id.to_owned()).collect();
        for id in over {
            self.delete_kept(CREDENTIAL, &id);
        }
    }
}

fn is_browser(one: &Credential) -> bool {
    matches!(one.kind(), CredentialKind::Browser(_))
}

fn made_at(one: &Credential) -> Option<Time> {
    one.created.as_ref().map(|created| created.at)
}
