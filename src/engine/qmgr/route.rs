//! Which transport and destination each recipient goes to.

use super::{Active, Qmgr, Urge};
use crate::core::Core;
use crate::delivery::MessageInfo;
use crate::maillog::{Daemon, Event};
use crate::trivial_rewrite::{Class, Resolved, Route};
use mail::{Address, Status};
use scheduler::{RoutedRecipient, TransportId};
use std::rc::Rc;

/// Transports whose next hop is a text, not a place.
const SPEAKING: [&str; 2] = ["error", "retry"];

/// A recipient with its route.
pub(super) struct Routed {
    pub(super) index: u32,
    transport: String,
    nexthop: String,
    /// The destination's name in the scheduler.
    key: String,
    /// It goes nowhere: a postmaster's notice that came back.
    discarded: bool,
}

impl Active {
    /// Settles recipients that go nowhere: the routes of the others.
    pub(super) fn discard(&mut self, core: &Core, mut routes: Vec<Routed>) -> Vec<Routed> {
        for gone in routes.extract_if(.., |route| route.discarded) {
            let recipient = &self.info.envelope.recipients[gone.index as usize];
            core.log.log(&Event::Delivery {
                daemon: &Daemon::Qmgr,
                id: self.info.id,
                recipient: &recipient.address,
                original: &recipient.original,
                relay: "none",
                conn_use: 1,
                delays: self.delays(core.rt.now()),
                dsn: Status::new(2, 0, 0),
                status: "sent",
                text: "undeliverable postmaster notification discarded",
            });
            self.pending -= 1;
            self.sent.push(gone.index);
        }
        routes
    }
}

impl Qmgr {
    /// Routes, sorted so that one destination's recipients are together, and in it one domain's.
    pub(super) fn routes(
        &mut self,
        core: &Rc<Core>,
        info: &MessageInfo,
        indices: &[u32],
        urge: Urge,
    ) -> Vec<Routed> {
        let address = |index: u32| &info.envelope.recipients[index as usize].address;
        let sender = &info.envelope.sender;
        let filter = info.envelope.filter.as_deref();
        let route = |index: &u32| match filter {
            Some(filter) => self.filtered(filter, address(*index), *index, urge),
            None => self.route(core, (sender, address(*index)), *index, urge),
        };
        let mut routes: Vec<Routed> = indices.iter().map(route).collect();
        if routes.len() > 1 {
            routes.sort_by_cached_key(|it| {
                let address = address(it.index);
                let domain = address.domain().unwrap_or_default().to_ascii_lowercase();
                (it.transport.clone(), it.key.clone(), domain, address.as_bytes())
            });
        }
        routes
    }

    fn route(
        &self,
        core: &Core,
        (sender, address): (&Address, &Address),
        index: u32,
        urge: Urge,
    ) -> Routed {
        let snapshot = core.snapshot.borrow();
        let to = |transport: &str, text: &str| self.routed_to(index, transport, text, None);
        let resolved = snapshot.resolver.resolve_queued(sender, address);
        if let Resolved::Route(route) = &resolved
            && let Some(warning) = snapshot.resolver.doubly_listed(route)
        {
            core.log.warn(Daemon::TrivialRewrite, &warning);
        }
        match resolved {
            Resolved::Route(route) if self.is_undeliverable_notice(&route) => {
                Routed { discarded: true, ..to("", "") }
            }
            Resolved::Route(route) if self.is_deferred(&route.transport, urge) => {
                to("retry", "4.3.2 deferred transport")
            }
            Resolved::Route(route) => {
                self.routed_to(index, &route.transport, &route.nexthop, Some(&route.recipient))
            }
            Resolved::BadSyntax => to("error", "5.1.3 bad address syntax"),
            Resolved::Unknown(why) => {
                core.log.warn(Daemon::TrivialRewrite, &why);
                to("retry", "4.3.0 address resolver failure")
            }
        }
    }

    /// Where a content filter is (`content_filter`, FILTER): `transport:destination`, without a
    /// destination the recipient's domain.
    fn filtered(&self, filter: &str, address: &Address, index: u32, urge: Urge) -> Routed {
        let (transport, destination) = filter.split_once(':').unwrap_or((filter, ""));
        if self.is_deferred(transport, urge) {
            return self.routed_to(index, "retry", "4.3.2 deferred transport", None);
        }
        let domain = address.domain().map(String::from_utf8_lossy);
        let nexthop = match destination {
            "" => domain.as_deref().unwrap_or_default(),
            destination => destination,
        };
        self.routed_to(index, transport, nexthop, Some(address))
    }

    fn is_undeliverable_notice(&self, route: &Route) -> bool {
        let double = self.settings.double_bounce.as_bytes();
        route.class == Class::Local && route.recipient.local_part().eq_ignore_ascii_case(double)
    }

    /// `defer_transports` holds until somebody flushes.
    fn is_deferred(&self, transport: &str, urge: Urge) -> bool {
        let named = |name: &String| name == transport;
        urge == Urge::Usual && self.settings.defer_transports.iter().any(named)
    }

    fn routed_to(
        &self,
        index: u32,
        transport: &str,
        nexthop: &str,
        recipient: Option<&Address>,
    ) -> Routed {
        let settings = self.settings.transport(transport);
        let single = settings.destination_recipient_limit == 1 && !SPEAKING.contains(&transport);
        let key = match recipient.filter(|_| single) {
            // One recipient at a time: the limits are per recipient.
            Some(recipient) => {
                let local = self.settings.splitting.name(recipient.local_part());
                format!("{}@{nexthop}", String::from_utf8_lossy(local))
            }
            None => nexthop.to_string(),
        };
        Routed {
            index,
            transport: transport.into(),
            nexthop: nexthop.into(),
            key: key.to_lowercase(),
            discarded: false,
        }
    }

    /// The routes as the scheduler takes them. Destinations of a message that is tried on request
    /// are not dead any more.
    pub(super) fn routed<'a>(
        &mut self,
        routes: &'a [Routed],
        urge: Urge,
    ) -> Vec<RoutedRecipient<'a>> {
        let mut routed: Vec<RoutedRecipient<'a>> = Vec::with_capacity(routes.len());
        for route in routes {
            let transport = self.transport(&route.transport);
            let destination = route.key.as_str();
            let known = routed
                .last()
                .is_some_and(|it| it.transport == transport && it.destination == destination);
            if urge == Urge::Message && !known {
                self.scheduler.unthrottle(transport, destination);
            }
            routed.push(RoutedRecipient {
                index: route.index,
                transport,
                destination,
                nexthop: &route.nexthop,
                alone: false,
            });
        }
        routed
    }

    fn transport(&mut self, name: &str) -> TransportId {
        let id = self.scheduler.transport(name, || self.settings.transport(name));
        self.transport_names.entry(id).or_insert_with(|| name.into());
        id
    }
}
