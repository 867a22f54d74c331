//! The HTTP face: Consul's dialect.
