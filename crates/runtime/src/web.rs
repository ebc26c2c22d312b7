//! The transport of HTTP: framing, tunnels and connections; what the parts mean is the protocol's.
//!
//! hyper speaks HTTP/1.1 and HTTP/2 on both sides. Each exchange gets a task and an engine of its
//! own; what one token does with one resource is one session ([`sessions`]).
//!
//! * [`listen`]: clients, as the server they mean or as their proxy, tunnels opened.
//! * [`redirect`]: clients that know of no proxy.
//! * [`exchange`]: one request and its reply, through the engine.
//! * [`socket`]: connections that change to WebSocket.
//! * [`bare`]: connections whose bytes pass unopened.
//! * [`site`], [`dial`], [`prior`]: what can be reached, and reaching it.
//! * [`echo`]: credentials that an upstream sends back.
//! * [`mint`]: certificates for the names that clients ask for.

mod answer;
mod bare;
mod body;
mod dial;
mod echo;
mod exchange;
mod held;
mod listen;
mod mint;
mod prior;
mod redirect;
mod sessions;
mod site;
mod socket;

pub(crate) use mint::Mint;
pub use redirect::{RedirectPlan, listen_for_others};
pub(crate) use sessions::Sessions;
pub(crate) use site::Site;
pub use site::SitePlan;
