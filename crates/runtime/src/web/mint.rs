//! Certificates for the names that clients ask for, signed by the local authority.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::tls::{Authority, TlsError};

/// Names kept; past it all are forgotten, so that a client that invents names costs signatures and
/// not memory.
const NAMES_MAX: usize = 1000;
/// A certificate is made anew after this time; it is good for longer ([`Authority::leaf`]).
const FRESH: Duration = Duration::from_secs(12 * 3600);

/// Makes and keeps what clients of opened tunnels are shown.
pub(crate) struct Mint {
    authority: Authority,
    kept: Mutex<HashMap<Box<str>, Minted>>,
}

/// When it was made, and what it is.
type Minted = (Instant, Arc<rustls::ServerConfig>);

impl Mint {
    pub fn new(authority: Authority) -> Self {
        Self { authority, kept: Mutex::default() }
    }

    /// What to show to a client that means to reach `name` (a host name or an address).
    pub fn config(&self, name: &str) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let now = Instant::now();
        if let Some((made, config)) = self.kept.lock().get(name)
            && now.duration_since(*made) < FRESH
        {
            return Ok(Arc::clone(config));
        }
        let config = self.authority.leaf(name)?;
        let mut kept = self.kept.lock();
        if kept.len() >= NAMES_MAX {
            kept.clear();
        }
        kept.insert(name.into(), (now, Arc::clone(&config)));
        Ok(config)
    }
}
