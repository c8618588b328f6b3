//! The store's rows as an operator sees them in `supervisor.db`: tables, columns, lines, and edits of them.
//!
//! - `schema`: the tables, and the triggers that note edits. `moment`: times as text.
//! - `line`: a row as a line and back. `edit`: what an operator changed, carried out on the store;
//!   `told`: what the audit log says of it.

pub mod edit;
pub mod line;
pub mod moment;
pub mod schema;
mod told;
