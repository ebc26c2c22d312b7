//! `data_dir/admin.token`: the only place where the admin token is (R16).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use model::Secret;

const NAME: &str = "admin.token";
const PREFIX: &str = "nrw_admin_";
const RANDOM_BYTES: usize = 32;
const FILE_BYTES_MAX: usize = 256;

/// Why the admin token cannot be had. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The file cannot be made or read.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others can read it.
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
    /// It does not hold a token.
    #[error("{} holds no admin token; remove it and start the gateway again", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// The admin token of a data folder, made (0600) if it is missing.
///
/// # Errors
///
/// When the file cannot be made or read, can be read by others, or holds something else.
pub fn admin_token(data_dir: &Path) -> Result<Secret<String>, AdminTokenError> {
    let path = data_dir.join(NAME);
    if !path.exists() {
        make(&path).map_err(|source| AdminTokenError::Io { path: path.clone(), source })?;
    }
    let mode = fs::metadata(&path)
        .map_err(|source| AdminTokenError::Io { path: path.clone(), source })?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(AdminTokenError::Open { path, mode: mode & 0o777 });
    }
    read_admin_token(data_dir)
}

/// The admin token of a data folder, for a command on the same machine.
///
/// # Errors
///
/// When the file cannot be read or holds something else.
pub fn read_admin_token(data_dir: &Path) -> Result<Secret<String>, AdminTokenError> {
    let path = data_dir.join(NAME);
    let text = fs::read_to_string(&path)
        .map_err(|source| AdminTokenError::Io { path: path.clone(), source })?;
    let text = Secret::new(text);
    let token = text.expose().trim();
    let shaped = token.len() <= FILE_BYTES_MAX
        && token.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == RANDOM_BYTES * 2);
    if shaped { Ok(Secret::new(token.to_owned())) } else { Err(AdminTokenError::Content { path }) }
}

/// Writes beside and renames, so that a crash leaves the whole file or none.
fn make(path: &Path) -> io::Result<()> {
    let mut random = [0_u8; RANDOM_BYTES];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
    let token = Secret::new(random.iter().fold(PREFIX.to_owned(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    }));
    let beside = path.with_extension("token.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(token.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
