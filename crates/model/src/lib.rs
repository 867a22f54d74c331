//! The nouns: names, rows, statuses, authors, indexes.
