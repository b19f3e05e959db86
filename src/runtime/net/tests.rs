//! The stash's bound.

use super::*;

/// A sender that never paused made the stash keep all it had ever received.
#[test]
fn a_stash_that_is_never_empty_does_not_grow() {
    let mut conn = Conn::new(Sock(0));
    let mut most = 0;
    for _ in 0..10_000 {
        conn.stash.extend_from_slice(&[7; 1000]);
        let leave = 10;
        conn.consume_stash(conn.unread() - leave);
        assert_eq!(conn.unread(), leave);
        most = most.max(conn.stash.capacity());
    }
    assert!(most <= 2 * STASH_MAX, "{most}");
}
