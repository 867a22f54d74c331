//! The hot path's DNS codec: parse a question, write an answer into a fixed buffer.
