//! A webhook: JSON by POST, signed as Standard Webhooks are.

use std::fmt;

use model::Timestamp;
use url::Url;

use crate::item::Item;
use crate::post::Post;
use crate::sign::SigningSecret;
use crate::sink::{SendError, Sink, UnusableSink};
use crate::trust::Trust;

/// One address and the secret shared with it.
pub struct Webhook {
    post: Post,
    secret: SigningSecret,
    clock: fn() -> Timestamp,
}

impl Webhook {
    /// Prepares to post to `url`; `clock` tells the time.
    ///
    /// # Errors
    ///
    /// When the address cannot be used.
    pub fn new(
        url: &Url,
        trust: &Trust,
        secret: SigningSecret,
        clock: fn() -> Timestamp,
    ) -> Result<Self, UnusableSink> {
        Ok(Self { post: Post::new(url, trust, &[])?, secret, clock })
    }

    /// Where it goes, without what may be secret.
    #[must_use]
    pub fn place(&self) -> &str {
        self.post.place()
    }

    /// Posts one message. `id` names it; a message that is sent again has the same.
    ///
    /// # Errors
    ///
    /// When the receiver is away or refuses.
    pub fn post(&self, id: &str, body: &[u8]) -> Result<(), SendError> {
        let now = (self.clock)().seconds();
        let signature = self.secret.sign(id, now, body);
        let fields = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ];
        self.post.post(body, &fields).map(|_| ())
    }
}

impl Sink for Webhook {
    /// The events as a JSON array. Its name is that of the first and last event, so that the same
    /// events have the same name.
    fn send(&mut self, batch: &[Item]) -> Result<(), SendError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        let id = format!("{}_{}-{}", first.gateway, first.number, last.number);
        let events: Vec<&str> = batch.iter().map(Item::json).collect();
        self.post(&id, format!("[{}]", events.join(",")).as_bytes())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.place()).finish()
    }
}
