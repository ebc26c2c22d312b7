//! Rules as a user writes them, and what comes of them.

#[cfg(test)]
mod common;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod masks;
#[cfg(test)]
mod replies;
