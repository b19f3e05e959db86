//! Every bound of the engine that is not a Postfix parameter, and what happens at it.

use std::time::Duration;

/// Recent log batches a core keeps in memory: enough for what was committed and not yet activated.
pub const TAIL_BYTES: usize = 4 << 20;
/// Content of active messages that is kept in memory; what is more is read from the log when its
/// delivery starts.
pub const PINNED_BYTES: u64 = 64 << 20;
/// A larger message is never kept in memory.
pub const PINNED_MESSAGE_BYTES: u64 = 256 << 10;
/// Input bytes a session works on at a time: content is handed on before more is looked at.
pub const INPUT_BYTES: usize = 64 * 1024;
/// Bytes of replies a session collects while commands keep coming, before it sends them and waits
/// until the client takes them.
pub const REPLY_BYTES: usize = 16 * 1024;
/// Content bytes a session collects before they go to the log as an extent.
pub const EXTENT_BYTES: usize = 128 * 1024;
/// How long a record nobody waits for (a mark, a removal) waits for a commit to share, after it was
/// appended and after the write that was under way then. A busy core's next message comes sooner; a
/// quiet one's disk has time. A crash in between delivers again what was delivered, as any crash
/// before a commit does.
pub const LAZY_COMMIT: Duration = Duration::from_millis(1);
/// The same while messages come in groups: the next one takes it along.
pub const LAZY_COMMIT_BUSY: Duration = Duration::from_millis(10);
/// Messages in the last commit that make a core busy enough to wait for a fuller one.
pub const PACED_GROUP: usize = 4;
/// How long after the start of the last commit a busy core may start the next one, unless as many
/// messages wait as the last one took. An idle core never waits.
pub const PACED_COMMIT: Duration = Duration::from_micros(2500);
/// Content buffers a core keeps for the next message; more are given back to the allocator.
pub const SPARE_BUFFERS: usize = 64;
/// A larger content buffer is given back to the allocator after use.
pub const SPARE_BUFFER_BYTES: usize = 256 * 1024;
/// How long accepting pauses when the system has no descriptors left.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Per cent of the descriptors that sessions may have; at the limit clients wait in the backlog.
pub const SESSION_SHARE: usize = 75;
/// Descriptors that sessions never have: deliveries, the log, and connections that the kernel has
/// accepted already when the limit is reached.
pub const RESERVED_DESCRIPTORS: usize = 96;
/// Per cent of the sessions a service may have from which on `stress` is `yes`.
pub const STRESS_SHARE: usize = 80;
/// Clients whose events are counted.
pub const ANVIL_CLIENTS_MAX: usize = 128 * 1024;
/// How often a service at its limit is mentioned in the log.
pub const STRESS_WARNING: Duration = Duration::from_secs(1000);
/// The longest command line, whatever `line_length_limit` says: a session looks at no more input
/// at a time.
pub const COMMAND_LINE_MAX: usize = 32 * 1024;
/// Commands and replies that a session keeps for the postmaster between two messages. Postfix keeps
/// all of them, which is what a client may say in one transaction; what is more than this is
/// counted and not kept.
pub const TRANSCRIPT_BYTES: usize = 64 * 1024;
/// How often the memory in use is looked at.
pub const MEMORY_INTERVAL: Duration = Duration::from_millis(250);
/// Per cent of the memory from which on no new mail is taken.
pub const SCARCE_SHARE: u64 = 90;
/// Per cent of the memory below which mail is taken again.
pub const PLENTY_SHARE: u64 = 80;
/// How often a full log is looked at again.
pub const FULL_RETRY: Duration = Duration::from_millis(250);
/// How often the preparation of a segment is tried again after a failure.
pub const SEGMENT_RETRY: Duration = Duration::from_secs(1);
/// Bytes of stragglers one turn copies forward at most.
pub const RECLAIM_BUDGET: usize = 64 * 1024;
/// Parcels handled in one turn before the kernel is entered again.
pub const PARCELS_PER_TURN: usize = 4096;
/// Parcels waiting for a full lane at which a core stops reading commands.
pub const OUTBOX_HIGH_WATER: usize = 1024;
/// How often a core whose parcels wait looks whether they still do.
pub const BACKLOG_RETRY: Duration = Duration::from_millis(1);
/// Client names remembered per core.
pub const PEER_NAMES: usize = 16 * 1024;
/// Messages that wait for servers to say where they go; further ones stay where they are.
pub const REHEARSING_MAX: usize = 256;
/// Messages one turn imports into the active queue.
pub const IMPORTS_PER_TURN: usize = 1024;
/// How long a stop waits for deliveries and sessions before it abandons them.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
/// How long a reply to the end of data may take before master gets a copy of the connection: longer
/// than a server nearby needs, shorter than one that works before it answers. What a kill doubles
/// is what was sent within this time.
pub const KEEP_AFTER: Duration = Duration::from_millis(2);
/// Messages per core whose late reply has come and whose marks are not durable; the oldest are
/// forgotten, and a crash would deliver them again.
pub const ANSWERED_MAX: usize = 1024;
/// How long the delivery helper may take for an answer, beside the time that locks may take; as
/// long as it waits for us.
pub const HELPER_ANSWER: Duration = Duration::from_secs(300);
/// How long a delivery waits for room in the helper's backlog before it is deferred.
pub const HELPER_ROOM: Duration = Duration::from_secs(30);
/// How often it looks whether there is room.
pub const HELPER_RETRY: Duration = Duration::from_millis(100);

/// How often a delivery may be handed on to another transport: a transport that leads back to
/// itself ends here.
pub const HANDOVERS_MAX: u32 = 4;

const _: () = assert!(COMMAND_LINE_MAX < INPUT_BYTES);
const _: () = assert!(EXTENT_BYTES <= SPARE_BUFFER_BYTES);
const _: () = assert!(OUTBOX_HIGH_WATER < runtime::lane::LANE_CAPACITY);
