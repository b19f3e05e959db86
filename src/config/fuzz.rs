//! Bodies of the fuzz targets: arbitrary files must be read or refused, never crash or hang.

use crate::check;
use crate::host::Host;
use crate::main_cf::MainCf;
use crate::master_cf::MasterCf;
use crate::params::Params;

/// Parses `data` as main.cf, then expands and types everything it sets. Panics only on our bug.
pub fn fuzz_main_cf(data: &[u8]) {
    let Ok(main) = MainCf::parse("main.cf", data) else { return };
    let params = Params::new(main, Host::default());
    for setting in params.set_names() {
        let Ok(expanded) = params.expand(setting.value) else { continue };
        assert!(expanded.len() <= crate::expand::MAX_EXPANDED, "an expansion is bounded");
        if crate::params::is_known(setting.name) {
            // Either answer is right; that there is one is the test.
            let _ = params.check(setting.name);
        }
    }
}

/// Parses `data` as master.cf, and expands and types what its services override. Panics only on our
/// bug.
pub fn fuzz_master_cf(data: &[u8]) {
    let Ok(master) = MasterCf::parse("master.cf", data) else { return };
    let Ok(main) = MainCf::parse("main.cf", b"") else { return };
    let params = Params::new(main, Host::default());
    for service in master.services() {
        assert!(!service.command.is_empty(), "a service has a command");
        let found = master.find(&service.name, service.transport);
        assert_eq!(found, Some(service), "name and type are unique");
        let own = params.of_service(service);
        for (name, value) in &service.overrides {
            assert!(!name.is_empty(), "an override has a name");
            let expanded = own.expand(value).map_or(0, |text| text.len());
            assert!(expanded <= crate::expand::MAX_EXPANDED, "an expansion is bounded");
            if crate::params::is_known(name) {
                let _ = own.check(name);
            }
        }
    }
    assert!(check::undefined(&params, &master).len() <= data.len(), "each is named");
    drop(check::findings(&params, &master, &check::acted_upon));
}
