//! A coding agent that talks garbage, and one that hangs: the agent lives, says so, and other projects go on.
