//! When a node counts as gone.
