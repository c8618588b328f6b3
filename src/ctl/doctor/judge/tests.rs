//! From facts made by hand to findings.

use super::*;
