//! Joins consensus and catalog: propose, read, wake, the leader's duties.
