//! Tests of the frame around the policies.
