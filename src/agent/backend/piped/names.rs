//! Names: those made from a command, so that what it has brought about is found again after a crash; titles; models.

use sha2::{Digest, Sha256};

use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;

/// Characters of the prompt that become the title.
const TITLE_CHARS: usize = 60;

/// The session that a command makes.
pub fn session_of(command: &CommandId) -> SessionId {
    SessionId::new(uuid_of("session", command))
}

/// The message that a command brings, as the coding agent's own record names it.
pub fn message_of(command: &CommandId) -> String {
    uuid_of("message", command)
}

/// What [`crate::backend::BackendEvent::mark`] holds here: which command's message was taken last.
pub fn mark_of(command: &CommandId) -> u64 {
    let hash = digest("mark", command);
    u64::from_be_bytes(std::array::from_fn(|at| hash[at]))
}

/// A UUID, which is what coding agents take for a name.
fn uuid_of(what: &str, command: &CommandId) -> String {
    let mut bytes = digest(what, command);
    // Version 8, which says that whoever made it knows how.
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn digest(what: &str, command: &CommandId) -> [u8; 32] {
    Sha256::digest(format!("{what} {}", command.as_str())).into()
}

/// The model without its provider.
pub fn plain_model(model: &str) -> String {
    model.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The title of a session that is given none.
pub fn title_of(prompt: &str) -> String {
    let line = prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or("New session").trim();
    match line.char_indices().nth(TITLE_CHARS) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_makes_the_same_names_again_and_no_two_alike() {
        let (one, other) = (CommandId::new("one"), CommandId::new("other"));
        assert_eq!(message_of(&one), message_of(&one));
        assert_ne!(message_of(&one), message_of(&other));
        assert_ne!(message_of(&one), session_of(&one).as_str());
        assert_eq!(message_of(&one).split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_ne!(mark_of(&one), mark_of(&other));
    }
}
