//! Cancels of sessions that another gateway carries (R17): a cancel comes on a connection of its
//! own, which a load balancer may take anywhere.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Gateway;
use store::{Logins, Peers, Store};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// What the question is called.
pub const CANCEL: &str = "cancel";
/// The answer of a gateway that has passed it on.
const DONE: &str = "done";
/// And of one that does not carry the session.
const ABSENT: &str = "absent";
/// What keys are sealed for: who reads the state database must not learn them.
const SEAL: &str = "cancel key";
/// How long other gateways may take.
const WAIT: Duration = Duration::from_secs(3);
/// How long the server may take to hear of it, where the session is.
const PASS_ON: Duration = Duration::from_millis(500);
/// Cancels that are asked about at once. A cancel proves nothing about who sends it, and each is
/// written to the database: more are dropped, as a server may (a cancel promises nothing).
const AT_ONCE: usize = 4;
/// And so many in a second.
const A_SECOND: u32 = 20;

/// Has the gateway pass on what it knows nothing of.
pub fn pass_on(gateway: &Gateway, store: &Store, handle: Handle) {
    let Some(peers) = store.peers.clone() else { return };
    let logins = Arc::clone(&store.logins);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let this_second = Mutex::new((0, 0));
    gateway.cancel_elsewhere(Box::new(move |key, over| {
        let Ok(turn) = Arc::clone(&turns).try_acquire_owned() else { return };
        if !may_ask(&mut this_second.lock(), runtime::clock::now().seconds()) {
            return;
        }
        let (peers, logins) = (Arc::clone(&peers), Arc::clone(&logins));
        handle.spawn_blocking(move || {
            ask(&peers, &logins, key, over);
            drop(turn);
        });
    }));
}

/// Counts one in this second; whether it is one of those that may be.
fn may_ask((second, count): &mut (u64, u32), now: u64) -> bool {
    if *second != now {
        (*second, *count) = (now, 0);
    }
    *count += 1;
    *count <= A_SECOND
}

fn ask(peers: &Peers, logins: &Logins, key: [u8; 8], over: oneshot::Sender<()>) {
    let text = format!("{:016x}", u64::from_be_bytes(key));
    let asked = match logins.seal(SEAL, &text) {
        Ok(sealed) => peers.ask(CANCEL, &sealed, WAIT, |answer| answer == DONE),
        Err(error) => return tracing::warn!(%error, "a cancel is not passed on"),
    };
    if let Err(error) = asked {
        tracing::warn!(%error, "a cancel is not passed on to other gateways");
    }
    drop(over);
}

/// Another gateway asks for a cancel: the answer.
pub fn cancel(gateway: &Gateway, logins: &Logins, handle: &Handle, about: &str) -> String {
    let key = logins.unseal(SEAL, about);
    let key = key.and_then(|text| u64::from_str_radix(text.expose(), 16).ok());
    let Some(passed_on) = key.and_then(|key| gateway.cancel_here(key.to_be_bytes())) else {
        return ABSENT.to_owned();
    };
    // Whoever waits for it may send the next statement, so it should have reached the server.
    let _ = handle.block_on(async { timeout(PASS_ON, passed_on).await });
    DONE.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p8_so_many_cancels_are_asked_about_in_a_second() {
        let mut counted = (0, 0);
        assert!((0..A_SECOND).all(|_| may_ask(&mut counted, 7)));
        assert!(!may_ask(&mut counted, 7));
        assert!(may_ask(&mut counted, 8));
    }
}
