//! People told what waits for an approval, and how it ended: by webhook, in Slack, by e-mail; and
//! the answers that come back from Slack's buttons.
//!
//! Each place has a thread of its own that asks the store where a request stands and says that
//! ([`Notifier`]). So what is told is never out of date, nothing waits for a place, and places do
//! not wait for each other. Which requests a place was told of is remembered in the data folder:
//! after a restart what still waits, and the end of what was told, are told to whoever lacks it.
//! Delivery is at least once; a message that comes again has the same name.
//!
//! What was asked is shown without its values unless the place's settings say otherwise
//! ([`Notice`]).

#![deny(missing_docs)]

mod click;
mod email;
mod hide;
mod memory;
mod notice;
mod slack;
mod webhook;
mod worker;

pub use click::{App, Click, ClickError, Clicks, Outcome, Signed, SigningKey};
pub use email::{Account, Email, Safety, is_mailbox};
pub use notice::{Notice, Texts};
pub use slack::{Buttons, Slack};
pub use webhook::Hook;
pub use worker::{Notifier, Pace, Place, Way};
