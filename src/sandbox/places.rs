//! Which directories the engine needs, as its configuration says.
//!
//! It writes below its queue and data directories, and where its log is. It reads those, its
//! configuration, the directories of the tables and lists that main.cf and master.cf name, and
//! what the system's own libraries read (`SYSTEM`). Directories, not files: a table that was
//! built anew is another file.
//!
//! **Limits**: nothing is allowed for a table right below `/` but the file itself.

use config::{MainCf, MasterCf, Params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tables::catalog::REMOTE;

/// What libraries and the kernel's files need: name services, zones, entropy, sockets of daemons.
const SYSTEM: &[&str] =
    &["/etc", "/usr", "/lib", "/lib32", "/lib64", "/proc", "/sys", "/dev", "/run", "/var/lib/sss"];

/// What stands between the words of a list.
const SEPARATORS: &[char] = &[' ', '\t', '\r', '\n', ',', '{', '}', '"'];

/// Where an engine may go; what a reload asks for beyond it is refused.
#[derive(Clone, Debug)]
pub struct Places {
    /// Directories it writes below, and reads.
    pub write: Vec<PathBuf>,
    /// Directories and files it only reads.
    pub read: BTreeSet<PathBuf>,
}

impl Places {
    /// The places of a configuration; `log` is where a log of the engine's own would be.
    ///
    /// # Errors
    /// A directory's parameter has no value.
    pub fn of(params: &Params, master: &MasterCf, log: bool) -> Result<Places, String> {
        let text = |name: &str| params.text(name).map_err(|error| error.to_string());
        let mut write = vec![text("queue_directory")?.into(), text("data_directory")?.into()];
        if log {
            write.extend(Path::new(&text("maillog_file")?).parent().map(PathBuf::from));
        }
        let mut read: BTreeSet<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        read.insert(text("config_directory")?.into());
        for value in values(params, master) {
            for path in tables(&value) {
                read.extend(homes(path));
                let inner = described(&value, path);
                inner.iter().flat_map(|value| tables(value)).for_each(|path| {
                    read.extend(homes(path));
                });
            }
        }
        Ok(Places { write, read })
    }

    /// The first place that is in none of these.
    pub fn missing(&self, wanted: &Places) -> Option<PathBuf> {
        let mine: Vec<&PathBuf> = self.write.iter().chain(&self.read).collect();
        let inside = |path: &Path| mine.iter().any(|place| path.starts_with(place));
        wanted.write.iter().chain(&wanted.read).find(|path| !inside(path)).cloned()
    }
}

/// Every value that somebody has set, expanded as far as it can be.
fn values(params: &Params, master: &MasterCf) -> Vec<String> {
    let set = params.main().iter().map(|(_, entry)| &entry.value);
    let overrides = master.services().iter().flat_map(|service| &service.overrides);
    let all = set.chain(overrides.map(|(_, value)| value));
    all.filter_map(|value| params.expand(value).ok()).collect()
}

/// Paths of tables (`type:/path`) and of files with more of a list (`/path`).
fn tables(value: &str) -> impl Iterator<Item = &Path> {
    value.split(SEPARATORS).filter_map(|word| {
        let word = word.strip_prefix('!').unwrap_or(word);
        match word.find(":/") {
            Some(at) => Some(Path::new(&word[at + 1..])),
            None => Some(Path::new(word)).filter(|path| path.is_absolute() && path.is_file()),
        }
    })
}

/// The values in the file at `path`, if `value` names it as the description of a table behind a
/// server or a library: it may name files in its turn, such as a database.
fn described(value: &str, path: &Path) -> Vec<String> {
    let named = |kind: &&str| value.contains(&format!("{kind}:{}", path.display()));
    if !REMOTE.iter().any(named) {
        return Vec::new();
    }
    let text = std::fs::read(path).unwrap_or_default();
    let main = MainCf::parse(&path.to_string_lossy(), &text);
    main.map(|main| main.iter().map(|(_, entry)| entry.value.clone()).collect()).unwrap_or_default()
}

/// Where a table is: its directory, and that of the file it is a link to.
fn homes(path: &Path) -> impl Iterator<Item = PathBuf> {
    let target = path.canonicalize().ok();
    let home = |path: &Path| match path.parent() {
        Some(root) if root == Path::new("/") => path.to_path_buf(),
        Some(directory) => directory.to_path_buf(),
        None => path.to_path_buf(),
    };
    [Some(home(path)), target.map(|path| home(&path))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;

    fn places(main_cf: &str, master_cf: &str) -> Places {
        let text = format!("config_directory = /c\nqueue_directory = /q\n{main_cf}");
        let main = MainCf::parse("main.cf", text.as_bytes()).unwrap();
        let master = MasterCf::parse("master.cf", master_cf.as_bytes()).unwrap();
        Places::of(&Params::new(main, Host::default()), &master, false).unwrap()
    }

    fn reads(places: &Places, path: &str) -> bool {
        places.read.contains(Path::new(path))
    }

    #[test]
    fn directories_of_tables_are_read_wherever_they_are_named() {
        let places = places(
            "maps = /maps\ntransport_maps = hash:/a/transport, unionmap:{cidr:/b/x,inline:{k=/v}}\n\
             mynetworks = !hash:$maps/not\nvirtual_alias_maps = lmdb:/only\n",
            "smtp inet n - n - - smtpd\n  -o check=pcre:/d/e/f\n",
        );
        for path in ["/a", "/b", "/maps", "/only", "/d/e", "/c", "/etc"] {
            assert!(reads(&places, path), "{path}: {places:?}");
        }
        assert!(!reads(&places, "/") && !reads(&places, "/v"), "{places:?}");
        assert_eq!(places.write, ["/q", "/var/lib/postfix"].map(PathBuf::from));
    }

    #[test]
    fn files_that_the_description_of_a_table_names_are_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (cf, home) = (root.join("cf"), root.join("home"));
        std::fs::create_dir(&cf).unwrap();
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("mail.db"), "").unwrap();
        let text = format!("dbpath = {}/mail.db\nquery = SELECT 1\n", home.display());
        std::fs::write(cf.join("lite.cf"), text).unwrap();
        let main_cf = format!("relay_domains = sqlite:{}/lite.cf\n", cf.display());
        let places = places(&main_cf, "");
        assert!(places.read.contains(&cf) && places.read.contains(&home), "{places:?}");
    }

    #[test]
    fn a_list_in_a_file_and_a_link_to_a_table_elsewhere_are_read() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let [near, far] = ["near", "far"].map(|name| root.join(name));
        [&near, &far].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        std::fs::write(far.join("list"), "x").unwrap();
        std::os::unix::fs::symlink(far.join("list"), near.join("list")).unwrap();
        let list = near.join("list");
        let spool = root.display();
        let text = format!("mynetworks = {}\nmail_spool_directory = {spool}\n", list.display());
        let places = places(&text, "");
        assert!(places.read.contains(&near) && places.read.contains(&far), "{places:?}");
        assert!(!places.read.contains(&root), "a directory is not a list: {places:?}");
    }

    #[test]
    fn a_place_is_missing_when_no_other_has_it() {
        let bound = places("transport_maps = hash:/a/b/transport\n", "");
        let inside = places("transport_maps = hash:/a/b/c/d\n", "");
        let outside = places("transport_maps = hash:/a/c/d\n", "");
        assert_eq!(bound.missing(&inside), None);
        assert_eq!(bound.missing(&outside), Some("/a/c".into()));
    }
}
