//! The gateway's own folder: who this gateway is, and the key that everything secret is derived
//! from.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use model::Secret;

use crate::id::{self, NoRandomness};

const KEY_BYTES: usize = 32;
const INSTALLATION_KEY: &str = "installation.key";
const GATEWAY_CHARS_MAX: usize = 44;

/// Why the data folder cannot be used. All but [`DataDirError::Random`] are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or folder cannot be made, read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A key file can be read by others.
    #[error(
        "{} can be read by others (mode {mode:03o}); run: chmod 600 {}",
        path.display(),
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("{} holds {found}; it should hold {wanted}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it holds, without the content.
        found: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The installation key given is too short.
    #[error("the installation key has {0} bytes; it needs at least 32")]
    ShortKey(usize),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// The data folder, made ready.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Opens `path`, making it (0700) if missing.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed("make the folder", path))?;
        let mode = fs::metadata(path).map_err(failed("look at", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            // It holds keys and recordings: nobody but the gateway's own account looks inside.
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(failed("set the permissions of", path))?;
            tracing::warn!(path = %path.display(), "the data folder was open to others; now 0700");
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of this gateway, made once and kept in `gateway.id`.
    pub fn gateway(&self) -> Result<Arc<str>, DataDirError> {
        let path = self.path.join("gateway.id");
        let text = match read_text(&path, 256)? {
            Some(text) => text,
            None => {
                let name = id::short_id("gw-", 10)?;
                write_new(&path, &name)?;
                name
            }
        };
        let name = text.trim();
        if is_gateway_name(name) {
            return Ok(name.into());
        }
        Err(DataDirError::Content {
            path,
            found: format!("{} characters that are not a gateway's name", name.chars().count()),
            wanted: "1 to 44 of a-z, 0-9 and '-'",
        })
    }

    /// The text of a secret file (0600) of the folder, made by `make` if missing; whether it was.
    pub fn secret_file(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, NoRandomness>,
    ) -> Result<(Secret<String>, bool), DataDirError> {
        let path = self.path.join(name);
        let Some(text) = read_text(&path, 64 * 1024)? else {
            let text = make()?;
            write_new(&path, text.trim_end())?;
            return Ok((Secret::new(text), true));
        };
        let text = Secret::new(text);
        let mode = fs::metadata(&path).map_err(failed("look at", &path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(DataDirError::Open { path, mode: mode & 0o777 });
        }
        Ok((text, false))
    }

    /// The installation key of `installation.key` (0600), made if missing.
    pub fn installation_key(&self) -> Result<InstallationKey, DataDirError> {
        if let Some(key) = InstallationKey::find(&self.path)? {
            return Ok(key);
        }
        let bytes = id::random_32()?;
        write_new(&self.path.join(INSTALLATION_KEY), &hex(&bytes))?;
        InstallationKey::from_bytes(&bytes)
    }
}

/// The key of this installation, shared by all its gateways. Never used itself: every use derives a
/// key of its own (R17).
pub struct InstallationKey(hmac::Key);

impl InstallationKey {
    /// The key of the file in a data folder (0600), if it is there.
    pub fn find(data_dir: &Path) -> Result<Option<Self>, DataDirError> {
        let path = data_dir.join(INSTALLATION_KEY);
        let Some(text) = read_text(&path, 1024)? else { return Ok(None) };
        let text = Secret::new(text);
        let mode = fs::metadata(&path).map_err(failed("look at", &path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(DataDirError::Open { path, mode: mode & 0o777 });
        }
        match unhex(text.expose().trim()) {
            Some(bytes) if bytes.len() == KEY_BYTES => {
                Self::from_bytes(Secret::new(bytes).expose()).map(Some)
            }
            _ => Err(DataDirError::Content {
                path,
                found: format!("{} characters", text.expose().trim().len()),
                wanted: "64 hexadecimal digits",
            }),
        }
    }

    /// Takes a key of at least 32 bytes from elsewhere (`keys.installation`).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DataDirError> {
        if bytes.len() < KEY_BYTES {
            return Err(DataDirError::ShortKey(bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The key for one purpose (`token`, `mask`, `taint`): HMAC-SHA-256 of the purpose's name. One
    /// derived key tells nothing about another or about the installation key.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Secret<[u8; 32]> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"narrows key v1: ");
        context.update(purpose.as_bytes());
        let mut key = [0; 32];
        key.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        Secret::new(key)
    }
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(***)")
    }
}

/// Safe as part of a file name and short enough for a segment's header.
pub(crate) fn is_gateway_name(name: &str) -> bool {
    (1..=GATEWAY_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// `None` when there is no such file.
fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, DataDirError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text).map_err(failed("read", path))?;
    Ok(Some(text))
}

/// Writes beside and renames, so that a crash leaves the whole file or none.
fn write_new(path: &Path, text: &str) -> Result<(), DataDirError> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed("make", &beside))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n"));
    written.and_then(|()| file.sync_all()).map_err(failed("write", &beside))?;
    fs::rename(&beside, path).map_err(failed("name", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> DataDirError {
    move |source| DataDirError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_0700_and_its_key_0600() {
        let folder = Folder::new();
        let data_dir = DataDir::open(&folder.path().join("var/data")).unwrap();
        data_dir.installation_key().unwrap();
        assert_eq!(mode(data_dir.path()), 0o700);
        assert_eq!(mode(&data_dir.path().join("installation.key")), 0o600);
    }

    #[test]
    fn gateway_name_and_key_stay_the_same() {
        let folder = Folder::new();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let (name, key) = (data_dir.gateway().unwrap(), data_dir.installation_key().unwrap());
        assert!(is_gateway_name(&name), "{name}");
        assert_eq!(data_dir.gateway().unwrap(), name);
        let again = data_dir.installation_key().unwrap();
        assert_eq!(again.derive("token"), key.derive("token"));
        assert_ne!(key.derive("token"), key.derive("mask"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = Folder::new();
        let data_dir = DataDir::open(folder.path()).unwrap();
        data_dir.installation_key().unwrap();
        let path = folder.path().join("installation.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = data_dir.installation_key().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_not_replaced() {
        let folder = Folder::new();
        let data_dir = DataDir::open(folder.path()).unwrap();
        data_dir.installation_key().unwrap();
        fs::write(folder.path().join("installation.key"), "short").unwrap();
        let error = data_dir.installation_key().unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
        assert!(!error.contains("short"), "{error}");
    }

    #[test]
    fn a_short_key_is_refused_at_31_bytes() {
        assert!(InstallationKey::from_bytes(&[7; 31]).is_err());
        assert!(InstallationKey::from_bytes(&[7; 32]).is_ok());
    }

    #[test]
    fn gateway_names_that_could_leave_the_folder_are_refused() {
        let folder = Folder::new();
        let data_dir = DataDir::open(folder.path()).unwrap();
        for bad in ["../x", "", "a b", &"a".repeat(45)] {
            fs::write(folder.path().join("gateway.id"), bad).unwrap();
            assert!(data_dir.gateway().is_err(), "{bad:?}");
        }
    }
}
