//! The DNS face: hot path and slow path.
