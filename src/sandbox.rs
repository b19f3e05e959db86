//! What the processes give up before they touch mail.
//!
//! | process | gives up | by |
//! | --- | --- | --- |
//! | engine | new privileges, execution of anything | no_new_privs, seccomp |
//! | engine | files outside its directories and those of its tables, see [`places`] | landlock |
//! | engine | ring operations it does not use | io_uring restrictions, in `runtime::ring` |
//! | all | what no mail system needs: tracing, mounting, code in the kernel, ... | seccomp |
//!
//! Called before the first thread exists, so that every thread is bound.
//!
//! **Diagnostics**: what a kernel cannot do is in the returned list, a line each for the log; what
//! it can do and refuses is an error.
//! **Standards**: landlock(7), seccomp(2).

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use crate::sandbox::places::Places;

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

#[allow(unsafe_code)]
mod filter;
pub mod places;

/// The newest rules we know; an older kernel keeps those it knows.
const RULES: ABI = ABI::V5;

/// System calls no process of ours makes.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// System calls that run another program.
const EXECUTION: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

/// Binds the engine: it may write and read below those of its `places` that are there, and execute
/// nothing.
///
/// # Errors
/// The kernel refuses what it offers.
pub fn bind_engine(places: &Places) -> Result<Vec<String>, Box<dyn Error>> {
    rustix::thread::set_no_new_privs(true)?;
    let mut missing = Vec::new();
    match restrict_files(places)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            missing.push("landlock: this kernel enforces only some of the rules".into());
        }
        RulesetStatus::NotEnforced => {
            missing.push("landlock is not available: files are not confined".into());
        }
    }
    let calls: Vec<i64> = NEVER.iter().chain(EXECUTION).copied().collect();
    missing.extend(forbid(&calls));
    Ok(missing)
}

/// Binds master and deliver. Only as root: from anybody else the kernel asks that set-gid programs
/// be given up for it, which the commands of users need.
pub fn bind_supervisor() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    forbid(NEVER)
}

fn restrict_files(places: &Places) -> Result<RulesetStatus, Box<dyn Error>> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let readable: Vec<&PathBuf> = places.read.iter().filter(|path| path.exists()).collect();
    let writable: Vec<&PathBuf> = places.write.iter().filter(|path| path.is_dir()).collect();
    let write = AccessFs::from_all(RULES) & !BitFlags::from(AccessFs::Execute);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))?
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(writable, write))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Makes system calls fail with EPERM, for this thread and all that come from it. What is missing,
/// when the kernel has no filters.
pub fn forbid(calls: &[i64]) -> Option<String> {
    let bind = || -> Result<(), Box<dyn Error>> {
        let rules: BTreeMap<i64, Vec<_>> = calls.iter().map(|call| (*call, Vec::new())).collect();
        let denied = SeccompAction::Errno(libc::EPERM as u32);
        let arch = std::env::consts::ARCH.try_into()?;
        let rules = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)?;
        let program: BpfProgram = rules.try_into()?;
        Ok(filter::load(&program)?)
    };
    bind().err().map(|error| format!("seccomp is not available: {error}"))
}
