//! What the delivery helper may do: the rules that master reads from its files and hands to it.
//!
//! Called at start and reload. The helper reads no configuration and the engine cannot change what
//! it goes by.
//!
//! **Diagnostics**: a value that is not one is [`Fatal`], with the parameter's name.

use config::master_cf::Service;
use config::{MasterCf, Params};
use privsep::alias::{AliasRules, Allowed};
use privsep::{Locks, Rules};

use crate::Fatal;
use crate::accounts::Accounts;
use crate::virtual_rules;

/// The commands of master.cf that deliver to files of users.
const COMMANDS: [&str; 2] = ["local", "virtual"];

/// The rules, when a service needs the helper.
pub fn of(
    params: &Params,
    master_cf: &MasterCf,
    accounts: &Accounts,
) -> Result<Option<Rules>, Fatal> {
    let needed = |service: &&Service| COMMANDS.contains(&service.command.as_str());
    let services: Vec<_> = master_cf.services().iter().filter(needed).collect();
    if services.is_empty() {
        return Ok(None);
    }
    let (local, virtuals): (Vec<&Service>, Vec<_>) =
        services.into_iter().partition(|service| service.command == "local");
    let virtuals = virtuals.iter().filter_map(|service| virtual_rules::of(params, service));
    let virtuals = virtuals.collect();
    let local = local.into_iter();
    let services = local.map(|service| rules_of(params, service)).collect::<Result<_, _>>()?;
    let rules = Rules { mail_owner: accounts.uid, services, virtuals };
    if rules.is_valid() {
        return Ok(Some(rules));
    }
    Err(Fatal("too many local or virtual services, or a parameter of theirs is too long".into()))
}

fn rules_of(params: &Params, service: &Service) -> Result<privsep::Service, Fatal> {
    let params = params.of_service(service);
    let text = |name: &str| params.text(name).map_err(Fatal::config);
    let flag = |name: &str| params.flag(name).map_err(Fatal::config);
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let seconds = |name: &str| params.seconds(name).map(number).map_err(Fatal::config);
    let int = |name: &str| params.int(name).map(i64::unsigned_abs).map_err(Fatal::config);
    Ok(privsep::Service {
        name: service.name.clone(),
        home_mailbox: text("home_mailbox")?,
        mail_spool_directory: text("mail_spool_directory")?,
        forward_path: params.raw("forward_path").map_err(Fatal::config)?,
        aliases: aliases(&params)?,
        locks: locks(&params)?,
        lock_attempts: number(int("deliver_lock_attempts")?),
        lock_delay_s: seconds("deliver_lock_delay")?,
        stale_lock_s: seconds("stale_lock_time")?,
        mailbox_size_limit: int("mailbox_size_limit")?,
        require_home_directory: flag("require_home_directory")?,
        strict_mailbox_ownership: flag("strict_mailbox_ownership")?,
    })
}

/// What deliver may do for aliases, for users' own files, and for `mailbox_command`.
fn aliases(params: &Params) -> Result<AliasRules, Fatal> {
    let text = |name: &str| params.text(name).map_err(Fatal::config);
    let list = |name: &str| params.list(name).map_err(Fatal::config);
    let seconds = params.seconds("command_time_limit").map_err(Fatal::config)?;
    let allowed = |name: &str| -> Result<Allowed, Fatal> {
        let words = list(name)?;
        let has = |word: &str| words.iter().any(|it| it.eq_ignore_ascii_case(word));
        Ok(Allowed { alias: has("alias"), forward: has("forward"), include: has("include") })
    };
    Ok(AliasRules {
        alias_maps: list("alias_maps")?,
        mailbox_command_maps: list("mailbox_command_maps")?,
        export_environment: exported(params)?,
        default_type: text("default_database_type")?,
        default_privs: text("default_privs")?,
        expansion_filter: text("command_expansion_filter")?,
        shell: text("local_command_shell")?,
        // What looks like a parameter is the shell's.
        mailbox_command: params.raw("mailbox_command").map_err(Fatal::config)?,
        directory: text("queue_directory")?,
        execution_directory: params.raw("command_execution_directory").map_err(Fatal::config)?,
        execution_filter: text("execution_directory_expansion_filter")?,
        forward_filter: text("forward_expansion_filter")?,
        time_limit_s: u32::try_from(seconds).unwrap_or(u32::MAX),
        utf8: params.flag("smtputf8_enable").map_err(Fatal::config)?,
        files: allowed("allow_mail_to_files")?,
        commands: allowed("allow_mail_to_commands")?,
    })
}

/// `export_environment`; where the configuration is, this process knows.
fn exported(params: &Params) -> Result<Vec<String>, Fatal> {
    let mut words = params.list("export_environment").map_err(Fatal::config)?;
    let directory = params.text("config_directory").map_err(Fatal::config)?;
    for word in words.iter_mut().filter(|word| *word == "MAIL_CONFIG") {
        *word = format!("MAIL_CONFIG={directory}");
    }
    Ok(words)
}

fn locks(params: &Params) -> Result<Locks, Fatal> {
    let mut locks = Locks::default();
    for word in params.list("mailbox_delivery_lock").map_err(Fatal::config)? {
        match word.as_str() {
            "fcntl" => locks.fcntl = true,
            "flock" => locks.flock = true,
            "dotlock" => locks.dotlock = true,
            _ => {
                let what = "parameter mailbox_delivery_lock: unknown lock method";
                return Err(Fatal(format!("{what}: {word}")));
            }
        }
    }
    Ok(locks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, MainCf};

    const ACCOUNTS: Accounts = Accounts { root: true, uid: 101, gid: 102, setgid: 103 };

    fn rules(main: &str, master: &str) -> Result<Option<Rules>, Fatal> {
        let main = MainCf::parse("main.cf", main.as_bytes()).unwrap();
        let master = MasterCf::parse("master.cf", master.as_bytes()).unwrap();
        of(&Params::new(main, Host::default()), &master, &ACCOUNTS)
    }

    #[test]
    fn services_have_the_parameters_of_main_cf_and_their_own() {
        let main = "mailbox_delivery_lock = flock, dotlock\nstale_lock_time = 1m\n";
        let master = "local unix - n n - - local\nhome unix - n n - - local\n  \
                      -o home_mailbox=Maildir/ -o { mailbox_command=/bin/x $USER }\n";
        let rules = rules(main, master).unwrap().unwrap();
        assert_eq!((rules.mail_owner, rules.services.len()), (101, 2));
        let local = rules.service(b"local").unwrap();
        let locks = Locks { flock: true, fcntl: false, dotlock: true };
        assert_eq!((local.locks, local.stale_lock_s), (locks, 60));
        assert_eq!(local.home_mailbox, "");
        assert_eq!(local.aliases.commands, Allowed { alias: true, forward: true, include: false });
        assert_eq!(local.aliases.default_privs, "nobody");
        assert_eq!(local.mail_spool_directory, "/var/mail");
        let home = rules.service(b"home").unwrap();
        assert_eq!(home.home_mailbox, "Maildir/");
        assert_eq!(home.aliases.mailbox_command, "/bin/x $USER");
    }

    #[test]
    fn without_a_local_service_there_is_no_helper() {
        assert_eq!(rules("", "smtp unix - - n - - smtp\n"), Ok(None));
        let virtuals = rules("", "virtual unix - n n - - virtual\n").unwrap().unwrap();
        assert!(virtuals.services.is_empty() && virtuals.virtuals.is_empty());
        let based = "virtual_mailbox_base = /var/vmail\n";
        let virtuals = rules(based, "virtual unix - n n - - virtual\n").unwrap().unwrap();
        assert_eq!(virtuals.virtual_service(b"virtual").unwrap().base, "/var/vmail");
    }

    #[test]
    fn a_lock_method_that_does_not_exist_is_an_error() {
        let error = rules("mailbox_delivery_lock = paper\n", "local unix - n n - - local\n");
        assert!(error.unwrap_err().0.ends_with("unknown lock method: paper"));
    }
}
