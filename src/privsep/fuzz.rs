//! The entry of the fuzzer.

use crate::{Reply, Request, Rules, frame, reply, request};

/// Any bytes as what the privileged helper and the engine read: refused, or the same bytes again
/// when encoded.
pub fn fuzz_privsep_request(data: &[u8]) {
    if let Ok(Some((body, _))) = frame::split(request::KIND, data)
        && let Ok(request) = Request::decode(body)
    {
        assert!(request.is_valid());
        assert_eq!(frame::whole(request::KIND, &request.encode()), Ok(body));
    }
    if let Ok(Some((body, _))) = frame::split(reply::KIND, data)
        && let Ok(reply) = Reply::decode(body)
    {
        assert_eq!(frame::whole(reply::KIND, &reply.encode()), Ok(body));
    }
    if let Ok(rules) = Rules::decode(data) {
        assert_eq!(rules.encode(), data);
    }
}
