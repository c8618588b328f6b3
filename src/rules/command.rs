//! Who a command is for, and the steps of its life.
