//! The traits between shells.
