//! The kernel, and a pretend kernel.
