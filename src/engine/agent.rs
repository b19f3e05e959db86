//! Delivery agents: the program behind a transport's master.cf entry makes the delivery.
//!
//! A program this engine does not have yet is a transport that is not available: its mail waits.

use crate::core::Core;
use crate::delivery::{DeliverRequest, Outcome};
use crate::error;
use std::net::IpAddr;
use std::rc::Rc;

/// One core's delivery agents.
pub struct Agents {
    smtp: Rc<crate::smtp::Client>,
}

impl Agents {
    /// The agents of a core.
    pub fn new(smtp: Rc<crate::smtp::Client>) -> Agents {
        Agents { smtp }
    }

    /// Makes a delivery.
    pub async fn deliver(&self, core: &Rc<Core>, request: DeliverRequest) -> Outcome {
        let snapshot = core.snapshot();
        match snapshot.program(&request.transport) {
            Some("smtp" | "lmtp") => self.smtp.deliver(request).await,
            Some("error") => error::refuse(core, request),
            Some("discard") => error::discard(core, request),
            _ => error::unavailable(core, request),
        }
    }

    /// The verified name of a client.
    pub async fn client_name(&self, address: IpAddr) -> Option<String> {
        self.smtp.client_name(address).await
    }
}
