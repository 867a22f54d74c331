//! This node's registrations and checks.
