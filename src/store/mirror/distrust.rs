//! Connections to files that may come from anywhere.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// What a file says of itself calls no function that does anything, and breaks nothing in it.
pub fn distrust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}
