//! Log and snapshot bytes: versioned, with field numbers.
