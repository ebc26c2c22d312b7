//! AWS Signature Version 4 for the one kind of request that is sent here: POST to `/`, no query.
//!
//! "AWS Signature Version 4 for API requests", AWS Identity and Access Management user guide,
//! section "Create a signed AWS API request".

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use model::text::Secret;
use zeroize::Zeroizing;

use crate::remote::Field;

/// Who signs, for what.
pub(crate) struct Signer<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl Signer<'_> {
    /// The `Authorization` field of a request. `fields` are all that are signed, `host` and
    /// `x-amz-date` among them, in any order, with small names; none may occur twice. `time` is as
    /// in `x-amz-date`.
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

    /// The fields of a request in AWS's JSON protocol (1.1), signed.
    pub fn fields(
        &self,
        date: &str,
        host: &str,
        target: &str,
        token: Option<&Secret<String>>,
        body: &[u8],
    ) -> Vec<Field> {
        let mut fields = vec![
            Field::plain("content-type", "application/x-amz-json-1.1"),
            Field::plain("host", host),
            Field::plain("x-amz-date", date),
            Field::plain("x-amz-target", target),
        ];
        fields.extend(token.map(|token| Field::secret("x-amz-security-token", token.expose())));
        let signed: Vec<(&str, &str)> =
            fields.iter().map(|field| (field.name, field.value.as_str())).collect();
        let authorization = self.authorization(date, &signed, body);
        fields.push(Field::secret("authorization", &authorization));
        fields
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

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "20150830T123600Z";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", TIME);

    /// Signs as all cases of AWS's signing test suite (`aws-c-auth`, `aws-signing-test-suite/v4`).
    fn signed(fields: &[(&str, &str)], body: &[u8]) -> String {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "service",
        };
        signer.authorization(TIME, fields, body)
    }

    fn expected(names: &str, signature: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={names}, Signature={signature}"
        )
    }

    #[test]
    fn the_published_signatures_come_out() {
        // post-vanilla
        assert_eq!(
            signed(&[HOST, DATE], b""),
            expected(
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
            )
        );
        // post-header-value-case
        assert_eq!(
            signed(&[("my-header1", "VALUE1"), DATE, HOST], b""),
            expected(
                "host;my-header1;x-amz-date",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"
            )
        );
        // post-header-key-sort
        assert_eq!(
            signed(&[HOST, DATE, ("my-header1", "  value1 ")], b""),
            expected(
                "host;my-header1;x-amz-date",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"
            )
        );
        // post-sts-header-before
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHG\
                     BuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1N\
                     tBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHN\
                     VXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9\
                     FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        assert_eq!(
            signed(&[HOST, DATE, ("x-amz-security-token", token)], b""),
            expected(
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
            )
        );
        // post-x-www-form-urlencoded
        let body = b"Param1=value1";
        let fields = [
            HOST,
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", "13"),
            ("x-amz-content-sha256", &hash(body)),
            DATE,
        ];
        assert_eq!(
            signed(&fields, body),
            expected(
                "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
            )
        );
    }

    #[test]
    fn a_time_is_written_as_aws_reads_it() {
        let time = UNIX_EPOCH + std::time::Duration::from_millis(1_440_938_160_999);
        assert_eq!(amz_date(time), TIME);
        assert_eq!(amz_date(UNIX_EPOCH), "19700101T000000Z");
    }
}
