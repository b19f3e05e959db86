//! A lying disk under the log, against a model of plain maps.
//!
//! After every image that a power cut may leave: every message whose commit was flushed is there
//! whole, unless its removal was appended; nothing is there that was not committed; what was
//! flushed of its state counts, what was only appended may, record by record; numbers are never
//! given out again. `small` takes short histories and enumerates, `seeds` takes long random ones,
//! `faults` makes single operations fail. A failure prints its seed:
//! `SEED=n cargo test -p ringpost-queue --test crash`.
//!
//! The long run:
//! `IMAGES=100000 cargo test --release -p ringpost-queue --test crash seeds -- --nocapture`.

mod faults;
mod images;
mod model;
mod seeds;
mod small;
mod world;
