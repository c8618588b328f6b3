//! The store's rows as an operator sees them in `supervisor.db`: tables, columns, rows, and edits of them.
//!
//! - `schema`: the tables, and the triggers that note edits. `timestamp`: times as text.
//! - `sql_row`: a row of the store as one of SQLite and back. `edit`: what an operator changed, carried out on the store;
//!   `edit_audit`: what the audit log says of it.

pub mod edit;
mod edit_audit;
pub mod schema;
pub mod sql_row;
pub mod timestamp;
