//! A webhook: a JSON object by POST, signed as Standard Webhooks are.

use serde_json::json;
use stream::{SendError, Webhook};

use crate::notice::Notice;
use crate::worker::Way;

/// A program that is told.
#[derive(Debug)]
pub struct Hook(pub Webhook);

impl Way for Hook {
    /// `type`, `timestamp` and `data`, as the specification recommends. Name and body are the same
    /// when it is sent again.
    fn tell(&mut self, notice: &Notice, _: Option<&str>) -> Result<String, SendError> {
        let word = notice.word();
        let body = json!({
            "type": format!("approval.{word}"),
            "timestamp": notice.happened_at(),
            "data": notice,
        });
        self.0.post(&format!("{}_{word}", notice.id), body.to_string().as_bytes())?;
        Ok(String::new())
    }
}
