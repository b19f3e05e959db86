//! LDAP URLs as values: `ldap://host/base?attributes?scope?filter`.
//!
//! The host is not looked at: the table's own servers are asked, as in Postfix.
//!
//! **Standards**: RFC 4516.

use ldap3::Scope;

/// A search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SearchUrl {
    pub base: String,
    /// None is all.
    pub attributes: Vec<String>,
    pub scope: Scope,
    pub filter: String,
}

impl SearchUrl {
    /// Of a text that is one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("URL:").unwrap_or(text);
        let (scheme, rest) = text.split_once("://")?;
        if !["ldap", "ldaps", "ldapi"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let mut parts = path.split('?');
        let mut next = || decode(parts.next().unwrap_or_default());
        let base = next()?;
        let attributes = next()?;
        let scope = match next()?.to_ascii_lowercase().as_str() {
            "" | "base" => Scope::Base,
            "one" => Scope::OneLevel,
            "sub" => Scope::Subtree,
            _ => return None,
        };
        let filter = Some(next()?).filter(|filter| !filter.is_empty());
        Some(Self {
            base,
            attributes: attributes
                .split(',')
                .filter(|name| !name.is_empty() && *name != "*")
                .map(str::to_owned)
                .collect(),
            scope,
            filter: filter.unwrap_or_else(|| "(objectClass=*)".to_owned()),
        })
    }
}

/// Without `%XX`.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_may_be_missing() {
        let url = SearchUrl::parse("ldap:///dc=x?mail,cn?sub?(sn=B%20b)").unwrap();
        assert_eq!((url.base.as_str(), url.filter.as_str()), ("dc=x", "(sn=B b)"));
        assert_eq!((url.attributes, url.scope), (vec!["mail".into(), "cn".into()], Scope::Subtree));
        let url = SearchUrl::parse("LDAP://h:1/dc=y").unwrap();
        assert_eq!((url.base.as_str(), url.scope), ("dc=y", Scope::Base));
        assert!(url.attributes.is_empty());
        for text in ["cn=a,dc=x", "http://x/", "ldap:///dc=x??all", "ldap:///%z"] {
            assert_eq!(SearchUrl::parse(text), None, "{text}");
        }
    }
}
