//! The whole system: real processes on loopback, driven as an administrator and a client drive
//! them.
//!
//! Every test has its own queue, configuration and ports in a temporary directory, waits with
//! deadlines
//! and ends what it has started. What the machine cannot do is skipped with a printed reason.
//!
//! **Environment**: `RINGPOST_CRASH_ROUNDS`, how often the engine is killed under load (10).

mod support;

/// One file per promise.
mod integration {
    mod blocked;
    mod bounce;
    mod checklist;
    mod container;
    mod crash;
    mod exclusive;
    mod exhaustion;
    mod full_disk;
    mod hostile;
    mod local;
    mod local_forward;
    mod local_killed;
    mod local_transport;
    mod operator;
    mod orphans;
    mod relay;
    mod reload;
    mod remote_tables;
    mod restart;
    mod sandbox;
    mod servers;
    mod stop;
    mod submission;
    mod tables;
    mod vmailbox;
}
