//! The real binary under real clients, kills and full disks.
