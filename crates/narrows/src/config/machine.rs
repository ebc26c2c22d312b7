//! What the configuration asks of the machine it stands on, so that all of the rest is text in,
//! configuration or problems out.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

/// A machine.
pub trait Machine {
    /// The first bytes of a file, at most so many.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;
    /// What a folder holds.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether a file can be opened.
    ///
    /// # Errors
    /// It cannot.
    fn open(&self, path: &Path) -> io::Result<()>;
    /// The addresses of a host.
    ///
    /// # Errors
    /// The name cannot be resolved.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The one the program runs on.
pub struct This;

impl Machine for This {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<()> {
        File::open(path).map(drop)
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}
