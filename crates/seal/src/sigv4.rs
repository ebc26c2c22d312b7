//! AWS Signature Version 4 for the one kind of request that is sent here: POST to `/`, no query.
//!
//! "AWS Signature Version 4 for API requests", AWS Identity and Access Management user guide, section
//! "Create a signed AWS API request".

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use zeroize::Zeroizing;

/// Who signs, for what.
pub(crate) struct Signer<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl Signer<'_> {
    /// The `Authorization` field of a request. `fields` are all that are signed, `host` and
    /// `x-amz-date` among them, in any order, with small names; none may occur twice. `time` is as in
    /// `x-amz-date`.
    pub fn authorization(&self, time: &str, fields: &[(&str, &str)], body: &[u8]) -> String {
        let mut fields: Vec<(&str, String)> =
            fields.iter().map(|(name, value)| (*name, single_spaced(value))).collect();
        fields.sort();
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(body));
        let date = time.get(..8).unwrap_or(time);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hash(request.as_bytes()));
        let signature = hex(mac(&self.key(date), text.as_bytes()).as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key_id
        )
    }

    fn key(&self, date: &str) -> Zeroizing<Vec<u8>> {
        let first = Zeroizing::new(format!("AWS4{}", self.secret_access_key).into_bytes());
        let parts = [date, self.region, self.service, "aws4_request"];
        parts
            .iter()
            .fold(first, |key, part| Zeroizing::new(mac(&key, part.as_bytes()).as_ref().to_vec()))
    }
}

/// A time as `x-amz-date` has it: `20150830T123600Z`.
pub(crate) fn amz_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}
