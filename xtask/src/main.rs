//! The project's own commands: check, test, soak, bench.
fn main() {}
