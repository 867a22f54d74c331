//! `rutter version`.

/// The release of Consul whose API this one speaks; clients gate what they do on it.
pub const CONSUL_VERSION: &str = "1.22.0";

/// Prints the version; called as `consul`, the first line is the one that scripts look for.
pub fn print(invoked_as: &str) {
    let own = env!("CARGO_PKG_VERSION");
    if invoked_as == "consul" {
        println!("Consul v{CONSUL_VERSION}");
        println!("rutter v{own}");
    } else {
        println!("rutter v{own}");
        println!("speaks the API of Consul v{CONSUL_VERSION}");
    }
}
