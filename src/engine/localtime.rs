//! The local time zone, looked up once per quarter of an hour: no zone changes its offset more
//! finely.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mail::date::Zone;
use std::cell::RefCell;
use std::rc::Rc;

const SLOT_SECONDS: u64 = 15 * 60;

/// The local zone of one core.
pub struct LocalTime {
    zone: TimeZone,
    cached: RefCell<(u64, Rc<Zone>)>,
}

impl LocalTime {
    /// The system's zone: `TZ`, then /etc/localtime, then UTC.
    pub fn system() -> LocalTime {
        LocalTime::of(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// Greenwich, wherever this machine is.
    pub fn utc() -> LocalTime {
        LocalTime::of(TimeZone::UTC)
    }

    fn of(zone: TimeZone) -> LocalTime {
        LocalTime { zone, cached: RefCell::new((u64::MAX, Rc::default())) }
    }

    /// The zone at `unix` seconds.
    pub fn at(&self, unix: u64) -> Rc<Zone> {
        let slot = unix / SLOT_SECONDS;
        let mut cached = self.cached.borrow_mut();
        if cached.0 != slot {
            *cached = (slot, Rc::new(self.look_up(unix)));
        }
        cached.1.clone()
    }

    fn look_up(&self, unix: u64) -> Zone {
        let timestamp = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
        let info = self.zone.to_offset_info(timestamp.unwrap_or(Timestamp::UNIX_EPOCH));
        Zone { offset: info.offset().seconds(), name: info.abbreviation().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_follows_daylight_saving() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let local = LocalTime::of(zone);
        assert_eq!(*local.at(1_795_398_000), Zone { offset: 3600, name: "CET".into() });
        assert_eq!(*local.at(1_782_000_000), Zone { offset: 7200, name: "CEST".into() });
    }
}
