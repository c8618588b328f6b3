//! The kinds of [`super::state`] that session lifecycle and policies keep.

/// What a session's events told beside its own row, by session.
pub const FACTS: &str = "policy.facts";

/// What policies remember, by session.
pub const MEMORY: &str = "policy.memory";

/// What people have said about a session, by session.
pub const MARKS: &str = "session.marks";

/// Sessions that hand their work over, by session.
pub const HANDOVER: &str = "session.handover";

/// What is halted: [`HALT_ALL`], or a project's name.
pub const HALT: &str = "halt";

/// The key of a halt of everything: no project has this name.
pub const HALT_ALL: &str = "*";

/// The session that completed a project last, by project.
pub const COMPLETE: &str = "project.complete";

/// The completions after which a project that waited for them was let go, by project.
pub const BEGUN: &str = "project.begun";
