//! Which requests a place was told of, remembered in the data folder until their ends are told too.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use store::ApprovalId;

/// Longest file that is read, bytes: far more than the requests that can wait.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The requests that one place was told of, each with what the place called its message.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    asked: BTreeMap<String, String>,
}

impl Memory {
    /// The memory in `folder` of the place at `address`, of which the file's name has a hash only:
    /// it may be a secret. One that cannot be understood is begun anew: people are told again.
    pub fn open(folder: &Path, kind: &str, address: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let hash = digest(&SHA256, address.as_bytes());
        let name = hash.as_ref().iter().take(8).fold(format!("{kind}-"), |mut name, byte| {
            name.push_str(&format!("{byte:02x}"));
            name
        });
        let path = folder.join(format!("{name}.json"));
        let asked = match fs::metadata(&path) {
            Ok(about) if about.len() <= FILE_BYTES_MAX => {
                serde_json::from_slice(&fs::read(&path)?).unwrap_or_default()
            }
            Ok(_) => BTreeMap::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, asked })
    }

    /// What the place called the message about a request, if it was told of it.
    pub fn receipt(&self, id: &ApprovalId) -> Option<&str> {
        self.asked.get(&*id.0).map(String::as_str)
    }

    /// The requests it was told of and not the end of.
    pub fn open_requests(&self) -> impl Iterator<Item = ApprovalId> {
        self.asked.keys().map(|id| ApprovalId(id.as_str().into()))
    }

    /// Remembers that it was told of a request.
    pub fn asked(&mut self, id: &ApprovalId, receipt: String) -> io::Result<()> {
        self.asked.insert(id.to_string(), receipt);
        self.write()
    }

    /// Forgets a request: its end was told.
    pub fn ended(&mut self, id: &ApprovalId) -> io::Result<()> {
        match self.asked.remove(&*id.0) {
            Some(_) => self.write(),
            None => Ok(()),
        }
    }

    /// Writes it whole or not at all.
    fn write(&self) -> io::Result<()> {
        let unnamed = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
        file.write_all(&serde_json::to_vec(&self.asked).unwrap_or_default())?;
        fs::rename(&unnamed, &self.path)
    }
}
