//! Token to authorizer: what one token may see and do in one view.
//!
//! Until policies exist everything is allowed, or (for tests, which prove that every path asks and that
//! no answer reaches who may not see it) nothing is, or nothing without a secret. Faces ask; cores
//! never do.

use model::{Tenant, Text};

/// What rules the view knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acl {
    /// ACLs are off: everybody may do everything.
    #[default]
    Off,
    /// Everybody may do nothing.
    DenyAll,
    /// Who sends a secret, whichever, may do everything; others nothing.
    DenyAnonymous,
}

/// The secret a client sent; empty for none.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Token(Text);

impl Token {
    /// Takes the secret as it was sent.
    pub fn new(secret: &str) -> Token {
        Token(Text::new(secret))
    }

    /// Whether no secret was sent.
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_anonymous() { "Token(none)" } else { "Token(…)" })
    }
}

/// What one token may do in one view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authorizer {
    tenant: Tenant,
    allow: bool,
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        impl Authorizer {
            $($(#[$doc])* pub fn $name(&self, _name: &str) -> bool { self.allow })*
        }
    };
}

rights! {
    /// May read what concerns the agent of this node.
    agent_read,
    /// May change what concerns the agent of this node.
    agent_write,
    /// May see the node of this name.
    node_read,
    /// May write the node of this name.
    node_write,
    /// May see the service of this name.
    service_read,
    /// May write instances of the service of this name.
    service_write,
    /// May read this key.
    key_read,
    /// May write this key.
    key_write,
    /// May write all keys that begin like this.
    key_write_prefix,
    /// May see sessions of the node of this name.
    session_read,
    /// May write sessions of the node of this name.
    session_write,
    /// May see user events of this name.
    event_read,
    /// May fire user events of this name.
    event_write,
}

impl Authorizer {
    pub(crate) fn new(acl: Acl, token: &Token) -> Authorizer {
        let allow = match acl {
            Acl::Off => true,
            Acl::DenyAll => false,
            Acl::DenyAnonymous => !token.is_anonymous(),
        };
        Authorizer { tenant: Tenant::DEFAULT, allow }
    }

    /// Whose tables the token opens.
    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// May ask about the cluster as a whole.
    pub fn operator_read(&self) -> bool {
        self.allow
    }

    /// May change the cluster as a whole.
    pub fn operator_write(&self) -> bool {
        self.allow
    }

    /// May see the keys of gossip.
    pub fn keyring_read(&self) -> bool {
        self.allow
    }

    /// May change the keys of gossip.
    pub fn keyring_write(&self) -> bool {
        self.allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::View;

    #[test]
    fn rules_that_deny_all_deny_every_token() {
        for (acl, allowed) in [(Acl::Off, true), (Acl::DenyAll, false)] {
            for token in [Token::default(), Token::new("secret")] {
                let authorizer = View::new(acl).authorizer(&token);
                assert_eq!(authorizer.key_read("a"), allowed);
                assert_eq!(authorizer.service_write("web"), allowed);
                assert_eq!(authorizer.operator_read(), allowed);
            }
        }
    }

    #[test]
    fn rules_may_tell_those_with_a_secret_from_those_without() {
        let view = View::new(Acl::DenyAnonymous);
        assert!(view.authorizer(&Token::new("secret")).key_read("a"));
        assert!(!view.authorizer(&Token::default()).key_read("a"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(
            format!("{:?} {:?}", Token::default(), Token::new("abc")),
            "Token(none) Token(…)"
        );
    }
}
