//! `ringpost explain`: what rewriting and resolving do to an address, step by step, with the table
//! and the line behind each step.
//!
//! The steps are those that mail takes: the same functions, watched. Nothing is sent or changed.
//!
//! **Diagnostics**: a table that cannot answer, or an address that stands for too much, is the last
//! line of its part.

use crate::cleanup::mapping::{Class, Trouble};
use crate::mail_addr_find::Found;
use crate::snapshot::Snapshot;
use crate::trivial_rewrite::{self, Resolved, Route};
use crate::vmailbox::owner::{Mailbox, NoMailbox};
use mail::Address;
use mail::address::Printable;
use std::cell::RefCell;
use tables::catalog::{Opened, System};

/// Columns of the first word of a line.
const NAME_COLUMNS: usize = 24;

/// What is said, line by line.
struct Report<'a> {
    snapshot: &'a Snapshot,
    system: System,
    lines: RefCell<Vec<String>>,
}

/// Explains mail from `sender` to `recipient`.
pub fn explain(
    snapshot: &Snapshot,
    system: System,
    sender: &Address,
    recipient: &Address,
) -> Vec<String> {
    let report = Report { snapshot, system, lines: RefCell::default() };
    report.all(sender, recipient);
    report.lines.into_inner()
}

impl Report<'_> {
    fn all(&self, sender: &Address, recipient: &Address) {
        let from = self.mapped(Class::EnvelopeSender, "sender", sender);
        let Some(from) = from.and_then(|from| from.into_iter().next()) else { return };
        let Some(results) = self.mapped(Class::EnvelopeRecipient, "recipient", recipient) else {
            return;
        };
        for result in results {
            self.route(&from, &result);
        }
    }

    fn head(&self, text: String) {
        self.lines.borrow_mut().push(text);
    }

    fn step(&self, name: &str, text: &str) {
        self.lines.borrow_mut().push(format!("  {name:NAME_COLUMNS$} {text}"));
    }

    /// Where an entry stands.
    fn place(&self, table: Option<&Opened>, key: &[u8]) -> String {
        let Some(table) = table else { return String::new() };
        let line = table.line(key, &self.system).map(|line| format!(", line {line}"));
        let line = line.unwrap_or_default();
        format!("({}{line}, key \"{}\")", table.name, Printable(key))
    }

    /// An address through the mappings of cleanup: what it becomes.
    fn mapped(&self, class: Class, role: &str, address: &Address) -> Option<Vec<Address>> {
        self.head(format!("{role} <{address}>"));
        let Snapshot { resolver, mapping, .. } = self.snapshot;
        let canonical = resolver.canonical(address);
        if canonical != *address {
            self.step("canonical form", &format!("<{canonical}>"));
        }
        let watch = |name: &str, from: &Address, key: &[u8], found: &Found<'_>, to: &[Address]| {
            let to: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
            let place = self.place(found.table, key);
            self.step(name, &format!("<{from}> becomes {} {place}", to.join(", ")));
        };
        let warn = |text: &str| self.step("warning", text);
        match mapping.watched(resolver, class, &canonical, &watch, &warn) {
            Ok(results) => {
                let results: Vec<Address> =
                    results.iter().map(|result| self.localized(class, result)).collect();
                let shown: Vec<String> = results.iter().map(|to| format!("<{to}>")).collect();
                self.step("is queued as", &shown.join(", "));
                Some(results)
            }
            Err(Trouble { said: _, text, reply }) => {
                self.step("is not accepted", &format!("{}: {text}", reply.0));
                None
            }
        }
    }

    fn localized(&self, class: Class, address: &Address) -> Address {
        match class {
            Class::EnvelopeRecipient => self.snapshot.resolver.localized(address.clone()),
            _ => address.clone(),
        }
    }

    /// The way of a queued address.
    fn route(&self, sender: &Address, recipient: &Address) {
        self.head(format!("route to <{recipient}>"));
        let Route { class, transport, nexthop, .. } =
            match self.snapshot.resolver.resolve_queued(sender, recipient) {
                Resolved::Route(route) => route,
                Resolved::BadSyntax => return self.step("bounces", "5.1.3 bad address syntax"),
                Resolved::Unknown(why) => {
                    let last = why.lines().last().unwrap_or_default();
                    return self.step("waits", &format!("4.3.0 {last}"));
                }
            };
        self.step("address class", class_name(class));
        if let Err(why) = self.reasons(sender, recipient, class) {
            self.step("lookup error", &why);
        }
        match transport.as_str() {
            "error" => self.step("bounces", &nexthop),
            "retry" => self.step("waits", &nexthop),
            _ => {
                self.step("transport", &transport);
                self.step("next hop", &nexthop);
                self.mailbox(&transport, recipient);
            }
        }
    }

    /// Where virtual(8) puts it, when that is behind the transport.
    fn mailbox(&self, transport: &str, recipient: &Address) {
        let services = &self.snapshot.virtuals;
        let Some((_, service)) = services.iter().find(|(name, _)| name == transport) else {
            return;
        };
        if let Some(why) = &service.unusable {
            return self.step("waits", &format!("4.3.0 {why}"));
        }
        let user = service.tables.folded(recipient);
        match service.tables.find(&self.snapshot.resolver, &user) {
            Ok(Mailbox { path, uid, gid }) => {
                let path = Printable(&path);
                self.step("mailbox", &format!("{path}, user id {uid}, group id {gid}"));
            }
            Err(NoMailbox::Unknown) => {
                self.step("bounces", &format!("5.1.1 unknown user: \"{user}\""));
            }
            Err(NoMailbox::Misconfigured(why)) => {
                self.step("waits", &format!("4.3.5 {}", why.join("; ")));
            }
        }
    }

    /// The tables that have a say.
    fn reasons(
        &self,
        sender: &Address,
        recipient: &Address,
        class: trivial_rewrite::Class,
    ) -> Result<(), String> {
        use trivial_rewrite::Class;
        let resolver = &self.snapshot.resolver;
        if class == Class::VirtualAlias {
            return Ok(());
        }
        if matches!(class, Class::Relay | Class::Default) {
            for (name, value) in resolver.sender_entry(sender)? {
                self.step(name, &format!("<{sender}> has {value}"));
            }
        }
        if let Some(entry) = resolver.transport_entry(recipient)? {
            let place = self.place(entry.table, &entry.key);
            self.step("transport_maps", &format!("{} {place}", entry.value));
        }
        if let Some((moved, key)) = resolver.moved(recipient)? {
            let place = self.place(moved.table, &key);
            self.step("relocated_maps", &format!("{} {place}", Printable(&moved.value)));
        }
        Ok(())
    }
}

/// A class in the words of ADDRESS_CLASS_README.
fn class_name(class: trivial_rewrite::Class) -> &'static str {
    use trivial_rewrite::Class;
    match class {
        Class::Local => "local (mydestination, own address)",
        Class::VirtualAlias => "virtual alias (virtual_alias_domains)",
        Class::VirtualMailbox => "virtual mailbox (virtual_mailbox_domains)",
        Class::Relay => "relay (relay_domains)",
        Class::Default => "default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn explained(main_cf: &str, sender: &str, recipient: &str) -> String {
        let snapshot = testing::snapshot(main_cf);
        let [sender, recipient] =
            [sender, recipient].map(|text| Address::from_internal(text.as_bytes()));
        explain(&snapshot, testing::tables(), &sender, &recipient).join("\n")
    }

    const MAIN_CF: &str = "myorigin = o.example\nmydestination = o.example\n\
        recipient_delimiter = +\n\
        canonical_maps = inline:{{old@o.example=new@o.example}}\n\
        virtual_alias_maps = pcre:{{/^new(.*)@o\\.example$$/ a$$1@x.example, b}}\n\
        transport_maps = inline:{{.example=smtp:[out.example]}}\nrelocated_maps = inline:{{b=the moon}}\n";

    #[test]
    fn every_step_has_its_table() {
        let text = explained(MAIN_CF, "old", "old+e");
        let expected = "sender <old>
  canonical form           <old@o.example>
  canonical_maps           <old@o.example> becomes <new@o.example> (inline:{{old@o.example=new@o.example}}, key \"old@o.example\")
  is queued as             <new@o.example>
recipient <old+e>
  canonical form           <old+e@o.example>
  canonical_maps           <old+e@o.example> becomes <new+e@o.example> (inline:{{old@o.example=new@o.example}}, key \"old@o.example\")
  virtual_alias_maps       <new+e@o.example> becomes <a+e@x.example>, <b@o.example> (pcre:{{/^new(.*)@o\\.example$/ a$1@x.example, b}}, line 1, key \"new+e@o.example\")
  is queued as             <a+e@x.example>, <b@o.example>
route to <a+e@x.example>
  address class            default
  transport_maps           smtp:[out.example] (inline:{{.example=smtp:[out.example]}}, key \".example\")
  transport                smtp
  next hop                 [out.example]
route to <b@o.example>
  address class            local (mydestination, own address)
  transport_maps           smtp:[out.example] (inline:{{.example=smtp:[out.example]}}, key \".example\")
  relocated_maps           the moon (inline:{{b=the moon}}, key \"b\")
  bounces                  5.1.6 User has moved to the moon";
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let text = explained("canonical_maps = fail:x\n", "a@b.example", "c@d.example");
        assert!(text.contains("\n  is not accepted          451 4.3.0 "), "{text}");
        let text = explained("transport_maps = fail:x\n", "a@b.example", "c@d.example");
        assert!(
            text.ends_with("\n  waits                    4.3.0 transport_maps lookup failure"),
            "{text}"
        );
    }

    #[test]
    fn a_virtual_mailbox_is_told_with_its_owner() {
        let main_cf = "virtual_mailbox_domains = a.example\nvirtual_mailbox_base = /b\n\
            virtual_mailbox_maps = inline:{{ceo@a.example=a/ceo} {cfo@a.example=a/cfo}}\n\
            virtual_uid_maps = inline:{ceo@a.example=1003}\nvirtual_gid_maps = static:105\n";
        let services = "smtp inet n - n - - smtpd\nvirtual unix - n n - - virtual\n";
        let snapshot = testing::snapshot_with(main_cf, services);
        let last = |recipient: &str| {
            let [sender, recipient] = ["s@x.example", recipient]
                .map(|address| Address::from_internal(address.as_bytes()));
            let lines = explain(&snapshot, testing::tables(), &sender, &recipient);
            lines.last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(last("CEO@a.example"), "mailbox a/ceo, user id 1003, group id 105");
        assert_eq!(last("no@a.example"), "bounces 5.1.1 unknown user: \"no@a.example\"");
        let why = "recipient cfo@a.example: not found in virtual_uid_maps";
        assert_eq!(last("cfo@a.example"), format!("waits 4.3.5 {why}"));
    }
}
