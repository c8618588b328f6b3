//! halctl: the operator at a terminal.
