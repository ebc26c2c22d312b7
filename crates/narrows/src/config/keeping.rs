//! How the store keeps what is written: `recording.retention` and `recording.store_encryption`.

use std::time::Duration;

use archive::bucket::{Cloud, Location as Place};
use archive::{LockMode, Retention, StoreEncryption};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::read::{At, Fields, Form, Report, word};
use super::scalar::Time;
use super::tree::{Node, Value};

/// See `recording.retention`. S3 takes a hundred years.
const RETENTION_MIN: Duration = Duration::from_secs(24 * 60 * 60);
const RETENTION_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// `recording.retention`: `400d`, or `{ for: 400d, mode: governance }`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetentionForm {
    length: Time,
    mode: Option<LockModeForm>,
}

/// `recording.retention.mode`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct LockModeForm(LockMode);

impl Form for LockModeForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        let words = [
            ("compliance", Self(LockMode::Compliance)),
            ("governance", Self(LockMode::Governance)),
        ];
        word(node, what, &words, report)
    }
}

impl Form for RetentionForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            return Time::read(node, what, report).map(|length| Self { length, mode: None });
        }
        let fields = Fields::open(node, what, &["for", "mode"], report)?;
        if !fields.present().contains(&"for") {
            let message = format!("{what}.for is missing");
            report.problem(&node.at, message, "write how long: { for: 400d }");
            return None;
        }
        let mode = fields.field("mode", report);
        fields.field("for", report).map(|length| Self { length, mode })
    }
}

impl JsonSchema for RetentionForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Retention".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = generator.subschema_for::<Time>();
        json_schema!({
            "anyOf": [
                time,
                {
                    "type": "object",
                    "properties": { "for": time, "mode": { "enum": ["compliance", "governance"] } },
                    "required": ["for"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// `recording.store_encryption`: `sse-s3`, or `{ aws_kms: KEY, bucket_key: true }`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreEncryptionForm(StoreEncryption);

impl Form for StoreEncryptionForm {
    fn read(node: &Node, what: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.value, Value::Table(_)) {
            return word(node, what, &[("sse-s3", ())], report).map(|()| Self(StoreEncryption::S3));
        }
        let fields = Fields::open(node, what, &["aws_kms", "bucket_key"], report)?;
        if !fields.present().contains(&"aws_kms") {
            let message = format!("{what}.aws_kms is missing");
            report.problem(&node.at, message, "name the key: { aws_kms: \"arn:aws:kms:…\" }");
            return None;
        }
        let bucket_key = fields.field("bucket_key", report);
        let key: At<String> = fields.field("aws_kms", report)?;
        // It becomes a field of requests.
        let is_name =
            !key.value.is_empty() && key.value.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            let message = format!("{what}.aws_kms: found {:?}", key.value);
            report.problem(&key.at, message, "write the ARN, id or alias of a key");
            return None;
        }
        Some(Self(StoreEncryption::Kms { key: key.value, bucket_key }))
    }
}

impl JsonSchema for StoreEncryptionForm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StoreEncryption".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "enum": ["sse-s3"] },
                {
                    "type": "object",
                    "properties": {
                        "aws_kms": { "type": "string" },
                        "bucket_key": { "type": "boolean" }
                    },
                    "required": ["aws_kms"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// Where the archive is.
#[derive(Clone, Copy, Debug)]
pub enum Archive<'a> {
    /// Here.
    At(&'a Place),
    /// Nowhere: `recording.store` is `none`.
    Nowhere,
    /// `recording.store` is wrong, which is said already.
    Unknown,
}

/// How long the store keeps what is written from being changed or deleted.
pub fn retention(
    form: Option<At<RetentionForm>>,
    archive: Archive<'_>,
    report: &mut Report,
) -> Option<Retention> {
    const WHAT: &str = "recording.retention";
    let At { value: RetentionForm { length, mode }, at } = form?;
    let wrong = match archive {
        Archive::At(Place::Cloud(Cloud::S3, ..)) | Archive::Unknown => None,
        Archive::Nowhere => Some(("there is no archive to keep", "recording.store is none")),
        Archive::At(Place::Folder(_)) => Some((
            "a folder cannot keep its files from being changed",
            "use an s3:// store whose bucket has object lock, or leave it out",
        )),
        Archive::At(Place::Cloud(Cloud::Google, ..)) => Some((
            "only S3 is told how long to keep objects",
            "set a retention policy on the bucket instead; under it keys/ cannot be erased",
        )),
        Archive::At(Place::Cloud(Cloud::Azure, ..)) => Some((
            "only S3 is told how long to keep objects",
            "set a retention policy on the container instead; under it keys/ cannot be erased",
        )),
    };
    if let Some((why, help)) = wrong {
        report.problem(&at, format!("{WHAT}: {why}"), help);
        return None;
    }
    let length = length.0;
    if !(RETENTION_MIN..=RETENTION_MAX).contains(&length) {
        let message = format!("{WHAT}: found {length:?}");
        report.problem(&at, message, "write a length of time from 1d to 36500d");
        return None;
    }
    Some(Retention { mode: mode.map_or(LockMode::Compliance, |mode| mode.0), length })
}

/// How the store itself encrypts what is written.
pub fn encryption(
    form: Option<At<StoreEncryptionForm>>,
    archive: Archive<'_>,
    report: &mut Report,
) -> Option<StoreEncryption> {
    const WHAT: &str = "recording.store_encryption";
    let At { value: StoreEncryptionForm(encryption), at } = form?;
    let wrong = match archive {
        Archive::At(Place::Cloud(Cloud::S3, ..)) | Archive::Unknown => return Some(encryption),
        Archive::Nowhere => ("there is no archive to encrypt", "recording.store is none"),
        Archive::At(Place::Folder(_)) => {
            ("a folder does not encrypt", "encrypt its file system; see also recording.encryption")
        }
        Archive::At(Place::Cloud(..)) => (
            "only S3 is told with which key to encrypt",
            "set the default key of the bucket or storage account instead",
        ),
    };
    report.problem(&at, format!("{WHAT}: {}", wrong.0), wrong.1);
    None
}
