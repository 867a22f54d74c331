//! The replicated state: pure apply, immutable views, watches, history, formats.
