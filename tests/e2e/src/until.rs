//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(15);

/// Looks at a condition until it gives a value.
///
/// # Errors
/// The condition failed, or held off for a minute; the message says what was awaited.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, look)
}

/// Looks at a condition until it gives a value, for at most `patience`.
///
/// # Errors
/// The condition failed, or held off too long; the message says what was awaited.
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if start.elapsed() > patience {
            bail!("waited {} s in vain: {what}", patience.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}
