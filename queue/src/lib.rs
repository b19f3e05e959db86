//! The durable queue log.
