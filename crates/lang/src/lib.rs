//! The small languages: Go durations, booleans and numbers as Consul reads them.
