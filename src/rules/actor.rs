//! Actors: what a name may be, whose token is good, and that an administrator remains.

use super::node;
use hal_base::clock::Time;
use hal_protocol::actor::{Actor, Credential, CredentialState, Role};
use hal_protocol::node::NodeId;

/// Characters of a name: a mail address fits.
const MOST_NAME: usize = 64;

/// Characters of what a token is for.
pub const MOST_LABEL: usize = 100;

/// Names by which the supervisor's record calls others, and by which it knows what it has asked for itself.
const TAKEN: [&str; 12] = [
    "clock",
    "dependency",
    "halt",
    "handover",
    "local",
    "policy",
    "retention",
    "supervisor",
    "system",
    "time",
    "token",
    "unknown",
];

/// What is wrong with the name of an actor, if anything is.
pub fn fault_of_name(name: &str, role: Role) -> Option<String> {
    if role == Role::Agent {
        return node::fault_of_name(&NodeId::new(name));
    }
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !begins || !name.chars().all(is_fit) || name.len() > MOST_NAME {
        return Some(format!(
            "the name is {:?}: expected a letter or digit, and then letters, digits and . _ - @ +, at most {MOST_NAME} \
             in all",
            name.chars().take(MOST_NAME).collect::<String>()
        ));
    }
    let is_taken = TAKEN.contains(&name.to_ascii_lowercase().as_str());
    is_taken.then(|| format!("{name:?} is what the record calls something else: choose another name"))
}

/// Why a credential lets nobody in, though its secret is right; `None`: it does.
pub fn why_not(credential: &Credential, actor: Option<&Actor>, at: Time) -> Option<&'static str> {
    match (credential.state(at), actor) {
        (CredentialState::Revoked, _) => Some("this token was revoked: ask an administrator for another one"),
        (CredentialState::Expired, _) => Some("this token has expired: ask an administrator for another one"),
        (CredentialState::Active, None) => Some("whose token this is was removed: ask an administrator"),
        (CredentialState::Active, Some(_)) => None,
    }
}

/// Who has ended a token for joining that was good once: the node that it has let in.
pub fn joined_by(node: &str) -> String {
    format!("node {node}")
}

/// The node that such a token has let in, by who has ended it.
pub fn joined_as(revoked_by: &str) -> Option<&str> {
    revoked_by.strip_prefix("node ")
}

/// True when nobody would be an administrator any more without this one, or with another role for this one.
pub fn is_last_admin<'a>(all: impl Iterator<Item = &'a Actor>, name: &str) -> bool {
    let mut is_admin = false;
    for actor in all.filter(|actor| actor.role == Role::Admin) {
        if actor.name != name {
            return false;
        }
        is_admin = true;
    }
    is_admin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_line_of_the_record_can_hold() {
        for name in ["ada", "ada.l@example.org", "ci-1", "7", "A_b+c"] {
            assert_eq!(fault_of_name(name, Role::Viewer), None, "{name}");
        }
        let long = "a".repeat(65);
        for name in
            ["", "-x", "a b", "a/b", "discord:ada", "ада", "a\n", "token", "Local", "handover", long.as_str()]
        {
            assert!(fault_of_name(name, Role::Viewer).is_some(), "{name}");
        }
        assert_eq!(fault_of_name("local", Role::Agent), None, "a node is called what it is called");
        assert!(fault_of_name("web\u{1b}[2J", Role::Agent).is_some());
    }

    #[test]
    fn the_last_administrator_is_known() {
        let actor = |name: &str, role| Actor { name: name.into(), role, ..Actor::default() };
        let all = [actor("ada", Role::Admin), actor("bob", Role::Viewer)];
        assert!(is_last_admin(all.iter(), "ada"));
        assert!(!is_last_admin(all.iter(), "bob"));
        let more = [actor("ada", Role::Admin), actor("eve", Role::Admin)];
        assert!(!is_last_admin(more.iter(), "ada"));
    }
}
