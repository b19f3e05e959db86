//! Expansions over tables in memory: what is left to do, in one line for each step.

use super::*;
use crate::testing::snapshot;
use mail::envelope::notify;
use mail::queue_id::QueueId;
use std::collections::BTreeMap;

const ID: QueueId = QueueId { micros: 0, number: 1, long: false };

struct Site {
    aliases: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
    /// Users' own files: `user` or `user+extension`, and what they say.
    homes: BTreeMap<&'static str, &'static str>,
    been_at: &'static str,
    settings: Settings,
}

fn site(main_cf: &str, aliases: &[(&'static str, &'static str)]) -> Site {
    let text = format!("recipient_delimiter = +\n{main_cf}");
    let settings = Settings::read("local", &snapshot(&text).params).unwrap();
    let aliases = aliases.iter().copied().collect();
    let (files, homes) = (BTreeMap::new(), BTreeMap::new());
    Site { aliases, files, homes, been_at: "", settings }
}

fn qualified(address: &Address) -> Address {
    match address.domain() {
        Some(_) => address.clone(),
        None => address.with_domain(b"here"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Site {
    fn alias(&self, name: &[u8]) -> Alias {
        match self.aliases.get(&*text(name)) {
            Some(&"?") => Alias::Retry("the table is away".into()),
            Some(value) => Alias::Found(value.as_bytes().to_vec(), 0),
            None => Alias::NotFound,
        }
    }

    /// What is done for a recipient, and the warnings.
    fn run_as(&self, recipient: &Recipient) -> (Vec<String>, Vec<String>, Option<Expanded>) {
        let alias = |name: &[u8]| self.alias(name);
        let resolve = |address: &Address| {
            let address = qualified(address);
            match address.domain() {
                Some(b"here") => Place::Here(address),
                Some(b"bad") => Place::BadSyntax,
                Some(b"unknown") => Place::Unknown("a table is away".into()),
                _ => Place::Elsewhere(address),
            }
        };
        let has_been_at = |address: &Address| address.to_string() == self.been_at;
        let world = World {
            alias: &alias,
            resolve: &resolve,
            canonical: &qualified,
            has_been_at: &has_been_at,
            id: ID,
        };
        let mut expansion = Expansion::new(&self.settings, world, recipient);
        expansion.clone().run_through();
        let mut steps = Vec::new();
        while let Some(step) = expansion.next_step() {
            if let Step::Dotforward(branch) = step {
                let found = self.own_file(&branch);
                expansion.forwarded(branch, found);
                continue;
            }
            steps.push(line(&step));
            if matches!(&step, Step::Command(_, text) if text == b"waits") {
                expansion.deferred();
            }
            if let Step::Include(branch, path) = step {
                let text = self.files[&*text(&path)];
                expansion.included(branch, path, text.as_bytes());
            }
        }
        (steps, expansion.warnings, expansion.expanded)
    }

    fn own_file(&self, branch: &Branch) -> Option<Forward> {
        let user = User::of(&branch.recipient.address, &self.settings);
        let find = |name: &[u8]| self.homes.get_key_value(&*text(name));
        let (path, says) = find(&user.local).or_else(|| find(&user.name))?;
        let (extended, text) = (path.contains('+'), says.as_bytes().to_vec());
        Some(Forward { path: path.as_bytes().to_vec(), extended, text, warnings: Vec::new() })
    }

    fn run(&self, address: &str) -> Vec<String> {
        self.run_as(&Recipient::new(Address::from_internal(address.as_bytes()))).0
    }
}

fn line(step: &Step) -> String {
    let of = |branch: &Branch| {
        let sender = branch.sender.as_ref().map(|sender| format!(" from {sender}"));
        format!("{}{}", branch.recipient.address, sender.unwrap_or_default())
    };
    match step {
        Step::Mailbox(branch) => format!("mailbox {}", of(branch)),
        Step::Forward(branch) => format!("forward {}", of(branch)),
        Step::File(branch, path) => format!("file {} for {}", text(path), of(branch)),
        Step::Command(branch, run) => format!("command {} for {}", text(run), of(branch)),
        Step::Include(branch, path) => format!("include {} for {}", text(path), of(branch)),
        Step::Dotforward(branch) => format!("own file of {}", of(branch)),
        Step::Ended(branch, dsn) => format!("{} {}: {}", dsn.status, of(branch), dsn.reason),
    }
}

#[test]
fn who_has_no_alias_is_a_mailbox_and_who_has_one_becomes_what_it_lists() {
    let site = site("", &[("list", "a, b@here, c@there"), ("a", "x"), ("x", "d@there, e")]);
    assert_eq!(site.run("user@here"), ["mailbox user@here"]);
    let expected = ["forward d@there", "mailbox e@here", "mailbox b@here", "forward c@there"];
    assert_eq!(site.run("List@here"), expected);
}

#[test]
fn twice_the_same_is_once_and_who_lists_itself_means_the_user() {
    let aliases = [("list", "a, A, a@here, x@there, X@there, self"), ("self", "self, a")];
    let site = site("", &aliases);
    let expected = ["mailbox a@here", "forward x@there", "mailbox self@here"];
    assert_eq!(site.run("list@here"), expected);
    assert_eq!(site.run("self@here"), ["mailbox self@here", "mailbox a@here"]);
}

#[test]
fn a_circle_ends_where_it_ends_in_postfix() {
    let site = site("", &[("l1", "l2"), ("l2", "l1")]);
    let (steps, warnings, _) = site.run_as(&Recipient::new(Address::from_internal(b"l1@here")));
    assert_eq!(steps, ["5.4.6 l2@here: alias database loop for l2"]);
    assert_eq!(warnings, ["alias database loop for l2"]);
}

#[test]
fn an_extension_is_matched_first_and_goes_on_where_that_is_wanted() {
    let aliases = [("a", "b, c@there"), ("a+x", "d")];
    let plain = site("", &aliases);
    assert_eq!(plain.run("a+x@here"), ["mailbox d@here"]);
    assert_eq!(plain.run("a+y@here"), ["mailbox b@here", "forward c@there"]);
    assert_eq!(plain.run("a+@here"), ["mailbox b@here", "forward c@there"], "an empty one");
    let site = site("propagate_unmatched_extensions = alias\n", &aliases);
    assert_eq!(site.run("a+y@here"), ["mailbox b+y@here", "forward c+y@there"]);
    assert_eq!(site.run("a+x@here"), ["mailbox d@here"]);
}

#[test]
fn an_owner_is_the_sender_and_members_are_forwarded() {
    let aliases = [("list", "a, b@there"), ("owner-list", "boss"), ("outer", "list")];
    let plain = site("", &aliases);
    let expected = ["forward a@here from owner-list@here", "forward b@there from owner-list@here"];
    assert_eq!(plain.run("list@here"), expected);
    assert_eq!(plain.run("outer@here"), expected);
    let expanded = site("expand_owner_alias = yes\n", &aliases);
    assert_eq!(expanded.run("list@here")[0], "forward a@here from boss@here");
    let ordinary = site("owner_request_special = no\n", &aliases);
    assert_eq!(ordinary.run("list@here"), ["mailbox a@here", "forward b@there"]);
}

#[test]
fn the_owner_of_an_outer_list_is_that_of_the_inner_one_unless_it_is_reset() {
    let aliases = [("outer", "inner"), ("owner-outer", "boss"), ("inner", "a, b@there")];
    let kept = site("", &aliases).run("outer@here");
    assert_eq!(kept[0], "forward a@here from owner-outer@here");
    let reset = site("reset_owner_alias = yes\n", &aliases).run("outer@here");
    assert_eq!(reset[0], "mailbox a@here from owner-outer@here");
}

#[test]
fn files_and_commands_are_allowed_where_the_configuration_says() {
    let aliases = [("both", "/f, \"|c d\", /f, :include:/list"), ("rel", ":include:list")];
    let mut plain = site("", &aliases);
    plain.files.insert("/list", "/g\n\"|e\"\nuser, x@there\n:include:/list\n");
    let restricted = [
        "file /f for both@here",
        "command c d for both@here",
        "include /list for both@here",
        "5.7.1 both@here: mail to file is restricted",
        "5.7.1 both@here: mail to command is restricted",
        "forward user@here",
        "forward x@there",
        "include /list for both@here",
        "forward user@here",
    ];
    assert_eq!(plain.run("both@here")[..7], restricted[..7]);
    let allowed = "allow_mail_to_files = include\nallow_mail_to_commands = include\n";
    let mut site = site(allowed, &aliases);
    site.files.clone_from(&plain.files);
    let steps = site.run("both@here");
    assert_eq!(steps[0], "5.7.1 both@here: mail to file is restricted");
    assert!(steps.contains(&"file /g for both@here".into()), "{steps:#?}");
    assert!(steps.contains(&"command e for both@here".into()), "{steps:#?}");
    let expected = "5.3.5 rel@here: mail system configuration error";
    assert_eq!(site.run("rel@here"), [expected]);
}

#[test]
fn what_cannot_be_known_defers_and_what_is_no_address_is_returned() {
    let aliases = [
        ("away", "?"),
        ("list", "a"),
        ("owner-list", "?"),
        ("bad", "u@bad, u@unknown"),
        ("none", "(nobody)"),
    ];
    let site = site("", &aliases);
    let away = |name: &str| [format!("4.3.0 {name}@here: alias database unavailable")];
    assert_eq!(site.run("away@here"), away("away"));
    assert_eq!(site.run("list@here"), away("list"));
    assert_eq!(site.run("none@here"), away("none"));
    let expected = [
        "5.1.3 bad@here: bad recipient address syntax: u@bad",
        "4.3.0 bad@here: address resolver failure",
    ];
    assert_eq!(site.run("bad@here"), expected);
}

#[test]
fn a_message_that_was_here_before_is_returned() {
    let mut site = site("", &[("list", "a, b")]);
    site.been_at = "a@here";
    let expected = ["5.4.6 a@here: mail forwarding loop for a@here", "mailbox b@here"];
    assert_eq!(site.run("list@here"), expected);
}

#[test]
fn who_wants_to_know_of_success_is_told_of_the_expansion_only() {
    let site = site("", &[("list", "a"), ("owned", "a"), ("owner-owned", "boss")]);
    let with = |address: &str, bits: u8| {
        let recipient = Recipient::new(Address::from_internal(address.as_bytes()));
        site.run_as(&Recipient { notify: bits, ..recipient }).2
    };
    assert_eq!(with("list@here", notify::SUCCESS), Some(Expanded::Plain));
    assert_eq!(with("owned@here", notify::SUCCESS | notify::FAILURE), Some(Expanded::ByOwner));
    assert_eq!(with("list@here", notify::FAILURE), None);
    assert_eq!(with("user@here", notify::SUCCESS), None);
}

#[test]
fn a_users_own_file_is_obeyed_and_the_user_in_it_is_the_mailbox() {
    let mut site = site("", &[("list", "alice, bob"), ("boss", "carol")]);
    site.homes = BTreeMap::from([
        ("alice", "alice, x@there\n# dave\n\"|run it\"\n~/file, boss\n"),
        ("carol", ""),
        ("filter", "filter@here, bob"),
    ]);
    let alice = [
        "mailbox alice@here",
        "forward x@there",
        "command run it for alice@here",
        "file ~/file for alice@here",
        // Another user's mail is a new message.
        "forward carol@here",
    ];
    assert_eq!(site.run("alice@here"), alice);
    assert_eq!(site.run("list@here"), [&alice[..], &["mailbox bob@here"]].concat());
    assert_eq!(site.run("carol@here"), ["mailbox carol@here"]);
    assert_eq!(site.run("filter@here"), ["mailbox filter@here", "forward bob@here"]);
}

#[test]
fn an_extension_may_have_a_file_of_its_own_and_goes_on_from_the_other_one() {
    let wanted = "propagate_unmatched_extensions = forward\n";
    for (main_cf, expected) in [("", "forward x@there"), (wanted, "forward x+other@there")] {
        let mut site = site(main_cf, &[]);
        site.homes =
            BTreeMap::from([("alice", "x@there"), ("alice+lists", "y@there, alice+lists")]);
        assert_eq!(site.run("alice+other@here"), [expected]);
        let own = ["forward y@there", "mailbox alice+lists@here"];
        assert_eq!(site.run("alice+lists@here"), own);
    }
}

#[test]
fn a_users_file_has_rights_of_its_own_and_lists_in_it_those_of_lists() {
    let mut strict = site("allow_mail_to_files = alias\nallow_mail_to_commands = alias\n", &[]);
    strict.homes = BTreeMap::from([("alice", "/f, |c, :include:/list")]);
    strict.files.insert("/list", "/f\nalice, bob@here\n");
    let expected = [
        "5.7.1 alice@here: mail to file is restricted",
        "5.7.1 alice@here: mail to command is restricted",
        "include /list for alice@here",
        "forward alice@here",
        "forward bob@here",
    ];
    assert_eq!(strict.run("alice@here"), expected);
    let both = "allow_mail_to_files = include, forward\nallow_mail_to_commands = forward\n";
    let site = Site { settings: site(both, &[]).settings, ..strict };
    let steps = site.run("alice@here");
    assert_eq!(steps[..2], ["file /f for alice@here", "command c for alice@here"]);
    assert!(!steps.contains(&"file /g for alice@here".into()), "once is enough: {steps:?}");
}

#[test]
fn two_files_that_name_each_other_end() {
    let mut site = site("", &[]);
    site.homes = BTreeMap::from([("a+x", "a+y, b@there"), ("a+y", "a+x"), ("a", "a+x, a+y")]);
    assert_eq!(site.run("a+x@here"), ["mailbox a+x@here", "forward b@there"]);
    assert_eq!(site.run("a@here"), ["mailbox a+x@here", "forward b@there"]);
}

#[test]
fn who_is_nobody_may_be_relayed_and_that_is_expanded() {
    let site = site("", &[("lost", "x@there, bob")]);
    let settings = &site.settings;
    let (alias, resolve) =
        (|name: &[u8]| site.alias(name), |address: &Address| Place::Here(qualified(address)));
    let world = World {
        alias: &alias,
        resolve: &resolve,
        canonical: &qualified,
        has_been_at: &|_| false,
        id: ID,
    };
    let recipient = Recipient::new(Address::from_internal(b"nobody+e@here"));
    let mut expansion = Expansion::new(settings, world, &recipient);
    let Some(Step::Dotforward(branch)) = expansion.next_step() else { panic!("its own file") };
    assert!(!expansion.forwarded(branch, None), "nothing new");
    let Some(Step::Mailbox(branch)) = expansion.next_step() else { panic!("a mailbox") };
    assert!(!branch.relayed);
    expansion.relayed(branch, Address::from_internal(b"lost"));
    let mut ends = Vec::new();
    while let Some(step) = expansion.next_step() {
        match step {
            Step::Dotforward(branch) => assert!(!expansion.forwarded(branch, None)),
            Step::Mailbox(branch) => {
                assert!(branch.relayed);
                ends.push(branch.recipient.address.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ends, ["x@there", "bob@here"]);
}

#[test]
fn a_name_that_is_none_is_returned_and_an_odd_extension_is_said() {
    let site = site("", &[]);
    let expected = ["5.1.3 @here: null username in \"@here\""];
    assert_eq!(site.run("@here")[..1].len(), expected.len());
    let (steps, warnings, _) = site.run_as(&Recipient::new(Address::from_internal(b"a+b/c@here")));
    assert_eq!(steps, ["mailbox a+b/c@here"]);
    let warning = format!("{}: address with illegal extension: a+b/c", ID);
    assert_eq!(warnings, [warning]);
}

#[test]
fn once_something_waits_no_more_lines_of_its_files_are_done() {
    let mut site =
        site("allow_mail_to_commands = alias, forward, include\n", &[("list", "|waits, a")]);
    site.homes = BTreeMap::from([("bob", "|waits, bob\nx@there\n"), ("carol", ":include:/i\n/f")]);
    site.files.insert("/i", "|waits\na\n");
    assert_eq!(site.run("list@here"), ["command waits for list@here", "mailbox a@here"]);
    assert_eq!(site.run("bob@here"), ["command waits for bob@here", "mailbox bob@here"]);
    let included = ["include /i for carol@here", "command waits for carol@here"];
    assert_eq!(site.run("carol@here"), included);
}

#[test]
fn a_backslash_means_the_mailbox() {
    let mut site = site("", &[("list", "\"\\\\a\", \\b"), ("a", "x@there"), ("b", "c")]);
    site.homes = BTreeMap::from([("a", "y@there")]);
    assert_eq!(site.run("list@here"), ["mailbox a@here", "mailbox c@here"]);
}

#[test]
fn the_owner_of_a_list_hears_of_its_loop() {
    let mut site = site("", &[("list", "a"), ("owner-list", "boss")]);
    for (address, been_at) in [("list@here", "list@here"), ("list+x@here", "list+x@here")] {
        site.been_at = been_at;
        let expected =
            format!("5.4.6 {address} from owner-list@here: mail forwarding loop for {address}");
        assert_eq!(site.run(address), [expected]);
    }
}
