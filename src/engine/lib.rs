//! The mail system: one module per Postfix daemon, under its Postfix name.
