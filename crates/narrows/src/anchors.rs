//! Anchors kept elsewhere: how far the archive reaches, told after each manifest to places that
//! whoever can cut the archive's end cannot reach.
//!
//! An anchor stands for all manifests up to its own. So where a place cannot be reached, only the
//! newest waits for it: nothing is proved less, and nothing piles up. What was not told before the
//! gateway stopped is told when it starts again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use archive::Bucket;
use archive::archiver::Head;
use archive::bucket::Put;
use archive::verify::Anchor;
use parking_lot::{Condvar, Mutex};
use stream::{SendError, Trust, Webhook};

use crate::config::Config;
use crate::config::outgoing::AnchorPlace;
use crate::streams::{read_more, signing_secret};
use crate::wire::secret;

/// Pause after a place could not be reached, doubled after each further time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a gateway that stops waits for its last anchor to arrive.
const LAST_ANCHOR: Duration = Duration::from_secs(5);

/// The places, each with a thread of its own.
pub struct Anchors {
    gateway: String,
    places: Vec<(Arc<Shared>, JoinHandle<()>)>,
}

struct Shared {
    name: String,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    anchor: Option<Anchor>,
    stop: bool,
}

enum Place {
    Store(Box<Bucket>),
    Webhook(Box<Webhook>),
}

/// The text of an anchor: what `narrows audit anchor` prints.
fn text(anchor: &Anchor) -> String {
    let mut text = serde_json::to_string_pretty(anchor).unwrap_or_default();
    text.push('\n');
    text
}

impl Anchors {
    /// Prepares the places of a configuration; nothing is told yet.
    pub async fn start(config: &Config, gateway: &str) -> anyhow::Result<Self> {
        let mut places = Vec::new();
        for (index, place) in config.recording.outgoing.anchors.iter().enumerate() {
            let what = format!("recording.anchors[{index}]");
            let shared = Arc::new(Shared {
                name: place.to_string(),
                waiting: Mutex::default(),
                wake: Condvar::new(),
            });
            let place = open(place).await.context(what)?;
            let of_thread = Arc::clone(&shared);
            let thread = std::thread::Builder::new()
                .name("narrows-anchor".to_owned())
                .spawn(move || of_thread.run(&place))
                .context("start a thread")?;
            places.push((shared, thread));
        }
        Ok(Self { gateway: gateway.to_owned(), places })
    }

    /// Tells all places how far the archive reaches now. Does not wait for any.
    pub fn tell(&self, head: &Head) {
        if head.number == 0 {
            return;
        }
        let anchor = Anchor { gateway: self.gateway.clone(), number: head.number, hash: head.hash };
        for (shared, _) in &self.places {
            shared.waiting.lock().anchor = Some(anchor.clone());
            shared.wake.notify_all();
        }
    }

    /// Waits a little for what is on its way; whether all of it arrived.
    pub fn stop(&self) -> bool {
        let begun = Instant::now();
        for (shared, _) in &self.places {
            shared.waiting.lock().stop = true;
            shared.wake.notify_all();
        }
        let done = |(shared, thread): &(Arc<Shared>, JoinHandle<()>)| {
            thread.is_finished() && shared.waiting.lock().anchor.is_none()
        };
        while !self.places.iter().all(done) && begun.elapsed() < LAST_ANCHOR {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.places.iter().all(done)
    }
}

/// Whether two configurations keep anchors differently.
pub fn differ(old: &Config, new: &Config) -> bool {
    let plan = |config: &Config| -> Vec<_> {
        let anchors = config.recording.outgoing.anchors.iter();
        let plan = anchors.map(|place| match place {
            AnchorPlace::Store(place) => (place.to_string(), None, None),
            AnchorPlace::Webhook(url, form, ca) => {
                (url.to_string(), Some(secret(form)), ca.clone())
            }
        });
        plan.collect()
    };
    plan(old) != plan(new)
}

async fn open(place: &AnchorPlace) -> anyhow::Result<Place> {
    Ok(match place {
        AnchorPlace::Store(location) => Place::Store(Box::new(Bucket::open(location, true)?)),
        AnchorPlace::Webhook(url, secret, ca) => {
            let trust = Trust { more: read_more(ca.as_deref())? };
            let secret = signing_secret(secret).await?;
            Place::Webhook(Box::new(Webhook::new(url, &trust, secret, runtime::clock::now)?))
        }
    })
}

impl Place {
    fn keep(&self, anchor: &Anchor) -> Result<(), SendError> {
        let text = text(anchor);
        let Anchor { gateway, number, .. } = anchor;
        match self {
            Self::Webhook(webhook) => {
                webhook.post(&format!("{gateway}_anchor_{number}"), text.as_bytes())
            }
            Self::Store(bucket) => {
                let away = |error: archive::BucketError| SendError::Away {
                    why: error.to_string(),
                    pause: None,
                };
                let path = format!("anchors/gateway={gateway}/{number:012}.json");
                if bucket.put_new(&path, text.clone().into()).map_err(away)? == Put::Made {
                    return Ok(());
                }
                // A call that was tried again may have succeeded the first time.
                match bucket.get(&path, 64 * 1024).map_err(away)? {
                    Some(there) if there == text.as_bytes() => Ok(()),
                    _ => Err(SendError::Refused(format!("{path} is there with another content"))),
                }
            }
        }
    }
}

impl Shared {
    fn run(&self, place: &Place) {
        let mut pause = PAUSE_MIN;
        let mut behind = false;
        loop {
            let mut waiting = self.waiting.lock();
            while waiting.anchor.is_none() && !waiting.stop {
                self.wake.wait(&mut waiting);
            }
            let Some(anchor) = waiting.anchor.clone() else { return };
            drop(waiting);
            let kept = place.keep(&anchor);
            let mut waiting = self.waiting.lock();
            let is_newest = waiting.anchor.as_ref() == Some(&anchor);
            match kept {
                Ok(()) => {
                    if std::mem::take(&mut behind) {
                        let number = anchor.number;
                        tracing::info!(place = self.name, number, "anchors are kept again");
                    }
                    pause = PAUSE_MIN;
                    if is_newest {
                        waiting.anchor = None;
                    }
                }
                Err(SendError::Refused(why)) => {
                    let number = anchor.number;
                    tracing::error!(place = self.name, number, why, "an anchor is not kept");
                    if is_newest {
                        waiting.anchor = None;
                    }
                }
                Err(error @ SendError::Away { .. }) => {
                    // Said once.
                    if !std::mem::replace(&mut behind, true) {
                        let number = anchor.number;
                        tracing::warn!(
                            place = self.name,
                            number,
                            why = %error,
                            "anchors are not kept; the \
                                       newest waits until they can be"
                        );
                    }
                    if waiting.stop {
                        return;
                    }
                    let until = Instant::now() + error.pause(pause);
                    while !waiting.stop && !self.wake.wait_until(&mut waiting, until).timed_out() {}
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use archive::Location;
    use archive::manifest::HexHash;

    use super::*;

    fn anchor(byte: u8) -> Anchor {
        Anchor { gateway: "gw-1".to_owned(), number: 7, hash: HexHash([byte; 32]) }
    }

    #[test]
    fn p6_an_anchor_in_a_store_is_never_replaced() {
        let folder = std::env::temp_dir().join(format!("narrows-anchors-{}", std::process::id()));
        let place =
            Place::Store(Box::new(Bucket::open(&Location::Folder(folder.clone()), true).unwrap()));
        assert_eq!(place.keep(&anchor(1)), Ok(()));
        assert_eq!(place.keep(&anchor(1)), Ok(()), "the same again is no harm");
        assert!(matches!(place.keep(&anchor(2)), Err(SendError::Refused(_))));
        let kept = std::fs::read(folder.join("anchors/gateway=gw-1/000000000007.json")).unwrap();
        assert_eq!(serde_json::from_slice::<Anchor>(&kept).unwrap(), anchor(1));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
