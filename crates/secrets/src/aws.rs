//! What AWS Secrets Manager says.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use model::Secret;
use seal::{AwsSecrets, AwsSecretsOptions, Purpose, RemoteOptions};
use serde_json::value::RawValue;

use crate::vault::NotRead;

/// How often secrets are read again: each reading is paid for.
pub(crate) const REFRESH: Duration = Duration::from_secs(300);

/// Prepares to ask the region of the environment; asks for nothing yet.
pub(crate) fn client() -> Result<AwsSecrets, String> {
    let remote = RemoteOptions { tries_max: 2, ..RemoteOptions::default() };
    AwsSecrets::new(AwsSecretsOptions::from_environment(remote)).map_err(|error| error.to_string())
}

/// Reads a secret, or a field of it.
pub(crate) fn read(
    client: &AwsSecrets,
    name: &str,
    field: Option<&str>,
) -> Result<Secret<String>, NotRead> {
    let id = format!("aws:{name}");
    let text = client.read(Purpose { key_id: &id, verb: "read a secret" }, name)?;
    let gone = |why: String| NotRead::Gone(format!("{id}: {why}"));
    let text = match field {
        None => text,
        Some(field) => {
            let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(text.expose())
                .map_err(|_| gone(format!("it is no JSON object with a field `{field}`")))?;
            let value =
                fields.get(field).ok_or_else(|| gone(format!("it has no field `{field}`")))?;
            let text: String = serde_json::from_str(value.get())
                .map_err(|_| gone(format!("its field `{field}` is not a text")))?;
            Secret::new(text)
        }
    };
    match text.expose().is_empty() {
        true => Err(gone("it is empty".to_owned())),
        false => Ok(text),
    }
}
