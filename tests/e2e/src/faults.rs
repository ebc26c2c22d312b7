//! Faults of the machine that a gateway runs on: a clock that jumps, a folder that becomes
//! read-only under it, small disks that can be filled.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::place;
use crate::process::{Child, User, command, run_well};
use crate::until::until;

/// What `c/faults.c` maps: a number and a path.
const ORDERS_BYTES: u64 = 8 + 4096;

/// A clock and a folder of one gateway, and of its commands.
#[derive(Debug)]
pub struct Faults {
    folder: TempDir,
    orders: File,
}

impl Faults {
    /// Builds what is preloaded into the gateway; nothing is wrong yet.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn prepare() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let orders = File::create(folder.path().join("orders"))?;
        orders.set_len(ORDERS_BYTES)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join("faults.so"));
        cc.arg(place::own("c/faults.c")).arg("-ldl");
        run_well(&mut cc)?;
        Ok(Self { folder, orders })
    }

    /// What a gateway has to be started with.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [("LD_PRELOAD", path("faults.so")), ("FAULTS", path("orders"))]
    }

    /// Sets the wall clock so many seconds ahead of the machine's, or behind.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn clock(&self, seconds: i64) -> Result<()> {
        Ok(self.orders.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// Makes a folder read-only for the gateway, or none.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn read_only(&self, folder: Option<&Path>) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let Some(folder) = folder else { return Ok(self.orders.write_all_at(&[0], 8)?) };
        let path = [folder.canonicalize()?.as_os_str().as_bytes(), &[0]].concat();
        self.orders.write_all_at(path.get(1..).context("a path")?, 9)?;
        // The first byte puts it in force.
        Ok(self.orders.write_all_at(b"/", 8)?)
    }
}

/// Small disks, in memory and in a mount namespace of their own, which needs no root.
#[derive(Debug)]
pub struct Disks {
    holder: Child,
}

impl Disks {
    /// Mounts a disk of so many KiB over each of these folders.
    ///
    /// # Errors
    /// The machine makes no mount namespaces.
    pub(crate) fn mount(folder: &Path, disks: &[(&str, u64)]) -> Result<Self> {
        let ready = folder.join("disks");
        let mut script = String::from("set -e\n");
        for (name, kib) in disks {
            let at = folder.join(name);
            fs::create_dir(&at)?;
            let options = format!("size={kib}k,mode=0700");
            script += &format!("mount -t tmpfs -o {options} tmpfs '{}'\n", at.display());
        }
        script += &format!("touch '{}'\nexec sleep infinity\n", ready.display());
        let mut holder = command("unshare", User::Own);
        holder.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let mut holder = Child::start_piped(&mut holder)?;
        let mounted = until("disks are mounted", || {
            Ok((holder.ended()?.is_some() || ready.exists()).then(|| ready.exists()))
        })?;
        if mounted {
            return Ok(Self { holder });
        }
        let said = holder.output(std::time::Duration::from_secs(5))?;
        bail!(
            "this machine makes no mount namespaces, which tests of full disks need: it takes \
             unshare (util-linux), and a kernel and an AppArmor that let users make them \
             (kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0). It said: {}",
            said.stderr
        );
    }

    /// Where a path is, as the disks' own see it, for everybody else.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A command that sees the disks, begun in this folder.
    pub(crate) fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut nsenter = command("nsenter", User::Own);
        nsenter.args(["--preserve-credentials", "--user", "--mount", "--target"]);
        nsenter.arg(self.holder.id().to_string());
        // What entering another namespace takes back.
        nsenter.args(["setpriv", "--pdeathsig", "KILL"]);
        nsenter.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(folder).arg(program);
        nsenter
    }
}

/// A file that takes all the room of a disk.
#[derive(Debug)]
pub struct Filler(PathBuf);

impl Filler {
    /// Fills the disk that a folder is on, but for so many bytes.
    ///
    /// # Errors
    /// Something else than a full disk is in the way.
    pub fn fill(folder: &Path, leaves: u64) -> Result<Self> {
        let path = folder.join("filler");
        let mut file = File::create(&path)?;
        let chunk = [7; 4096];
        let mut length = 0;
        loop {
            match file.write(&chunk) {
                Ok(written) => length += written as u64,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        file.set_len(length.saturating_sub(leaves))?;
        Ok(Self(path))
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
