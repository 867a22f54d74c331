//! Openraft and raft-log, driven: opaque bytes in, opaque bytes out.
