//! Up to where a receiver has everything, remembered in the data folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::follow::Place;

/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// The file that remembers one receiver's place.
#[derive(Clone, Debug)]
pub struct Memory {
    path: PathBuf,
}

/// What a file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Remembered {
    /// There is none: the receiver is new.
    Nothing,
    /// This.
    Place(Place),
    /// It cannot be understood.
    Unreadable,
}

impl Memory {
    /// The memory in `folder` (`data_dir/stream`) of the receiver at `address`, which is a part of
    /// the file's name as a hash only: it may be a secret.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn open(folder: &Path, kind: &str, address: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let hash = digest(&SHA256, address.as_bytes());
        let name = hash.as_ref().iter().take(8).fold(format!("{kind}-"), |mut name, byte| {
            name.push_str(&format!("{byte:02x}"));
            name
        });
        Ok(Self { path: folder.join(format!("{name}.json")) })
    }

    pub(crate) fn read(&self) -> io::Result<Remembered> {
        let text = match fs::metadata(&self.path) {
            Ok(about) if about.len() > FILE_BYTES_MAX => return Ok(Remembered::Unreadable),
            Ok(_) => fs::read(&self.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Remembered::Nothing);
            }
            Err(error) => return Err(error),
        };
        // No journal has numbers that high.
        let place = serde_json::from_slice(&text)
            .ok()
            .filter(|place: &Place| place.segment.max(place.number) <= i64::MAX.unsigned_abs());
        Ok(place.map_or(Remembered::Unreadable, Remembered::Place))
    }

    /// Writes it whole or not at all. A power cut may cost the last moments of it, which are sent
    /// again then.
    pub(crate) fn write(&self, place: Place) -> io::Result<()> {
        let unnamed = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
        file.write_all(&serde_json::to_vec(&place).unwrap_or_default())?;
        fs::rename(&unnamed, &self.path)
    }
}
