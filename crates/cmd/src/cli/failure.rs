//! How a command ends that did not do what was asked.

/// What a command comes to.
pub type Outcome = Result<(), Failure>;

/// A command failed.
#[derive(Debug)]
pub struct Failure {
    /// What is said on stderr; nothing if empty.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// Ends with a code and without a word.
    pub fn silent(code: u8) -> Failure {
        Failure { text: String::new(), code }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, code: 1 }
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Failure {
        text.to_owned().into()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        format!("==> {error:#}").into()
    }
}
