//! Keeping what the process holds from those who could look into it: other processes of the same
//! account, and core dumps.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
    setrlimit,
};

/// No core dump is written, and nobody but root may trace this process or read its memory and its
/// environment (`PR_SET_DUMPABLE` in prctl(2), core(5)).
///
/// # Errors
///
/// The operating system does not allow it, or did not do it.
pub fn hush() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // The hard limit, too: nothing that is started from here writes one either.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if maximum != Some(0) {
        setrlimit(Resource::Core, none)?;
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    anyhow::ensure!(dumpable_behavior()? == DumpableBehavior::NotDumpable, "it had no effect");
    Ok(())
}
