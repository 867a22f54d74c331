//! The binary `rutter`.
fn main() {}
