//! What the kernel's scheduler is told while something is measured.

use std::fs;

use anyhow::Result;

use crate::places::Site;
use crate::process::{Account, Process, Processors, command};

const GROUPS: &str = "/proc/sys/kernel/sched_autogroup_enabled";

/// While it lives, the kernel has no group for each session, if we may say so (`sched(7)`, "The
/// autogroup feature").
///
/// Client, gateway and server stand for three machines, and idle-class work of one must not weigh
/// as its whole group against another.
pub struct Ungrouped {
    before: Option<String>,
}

impl Ungrouped {
    pub fn begin() -> Self {
        let before = fs::read_to_string(GROUPS).ok();
        let before = before.filter(|on| on.trim() == "1" && fs::write(GROUPS, "0").is_ok());
        Self { before }
    }

    /// Whether there could still be groups.
    pub fn is_refused(&self) -> bool {
        self.before.is_none() && fs::read_to_string(GROUPS).is_ok_and(|on| on.trim() == "1")
    }
}

impl Drop for Ungrouped {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If it fails, the next start of the machine sets it again.
            let _ = fs::write(GROUPS, before);
        }
    }
}

/// A loop for each processor in the idle class (`SCHED_IDLE`): the least that anything in the
/// background can be to those who serve.
pub fn loops(site: &Site) -> Result<Vec<Process>> {
    let processors = std::thread::available_parallelism()?.get();
    let mut loops = Vec::new();
    for _ in 0..processors {
        let mut counting = command("chrt", Processors::All, Account::Own)?;
        counting.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
        loops.push(Process::start("a loop", "-KILL", &site.folder().join("loop.log"), counting)?);
    }
    Ok(loops)
}
