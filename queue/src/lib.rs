//! The durable queue log: per-core, append-only, checksummed segments. FORMAT.md is its byte map.
//!
//! It stores bytes and numbers and does not know what an address is. The engine opens one `Store`
//! per queue directory and one `Log` per core; a `Log` prepares aligned batches and says where to
//! write them, the engine writes (`Log::seal`, `Log::flushed`). Any core reads through the
//! `Store`. Tools use the `Reader`, which needs no lock.
//!
//! A turn of the engine: append and change; `seal` and submit the `Flush` if there is one; when
//! the write completes, `flushed`, then answer everybody up to the returned `Lsn`. Between turns:
//! `wants_segment` to the side thread, `supply` when it comes back, `reclaim_step` when idle;
//! after `seal`: `checkpoint` to the side thread, `checkpointed` when it comes back.
//!
//! Diagnostics: errors as in `error`; our own bugs panic; nothing is logged here.
//!
//! Limits: `CORES_MAX`, `MARK_INDEX_MAX`, `SEGMENT_MIN`..=`SEGMENT_MAX`, `BATCH_BYTES_MAX`,
//! `Log::record_max`.

#![deny(unsafe_code)]

mod batch;
mod checkpoint;
mod content;
mod error;
mod fuzz;
mod index;
mod log;
#[allow(unsafe_code)]
mod map;
mod marks;
mod names;
mod numbered;
mod reader;
mod record;
mod recover;
mod repair;
mod replay;
mod scan;
mod segment;
pub mod storage;
mod store;

pub use batch::Batch;
pub use content::{Content, Location, Piece, Pieces};
pub use error::{Full, OpenError, Poisoned, ReadError, Refused};
pub use fuzz::fuzz_queue_replay;

pub use log::{
    BATCH_BYTES_MAX, CheckpointRequest, Draft, Flush, FlushId, Live, Log, Placed, ReadySegment,
    Reclaimed, SegmentRequest, State,
};
pub use map::Map;
pub use marks::{MARK_INDEX_MAX, Marks};
pub use names::{CORES_MAX, Core, Lsn, Number};
pub use numbered::NumberMap;

pub use reader::{Message, Reader};
pub use record::{FLAG_HELD, Kind};
pub use repair::{CorruptReport, Recovery, Torn};
pub use segment::{FORMAT_VERSION, PAGE, SEGMENT_DEFAULT, SEGMENT_MAX, SEGMENT_MIN, segment_size};
pub use storage::free_space;
pub use store::{Options, Store, SyncMode};
