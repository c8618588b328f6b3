//! The only place that knows bytes.
