//! Configuration files, read with places so that every problem can be pointed at.
