use http::HeaderValue;

use super::*;
use crate::canonical::{host, path};

/// What a URL without its scheme names: provider, account, bucket; `-` for what is not told.
fn named(url: &str) -> String {
    let (authority, target) = url.split_at(url.find('/').unwrap_or(url.len()));
    let target = if target.is_empty() { "/" } else { target };
    let host = host(authority).expect("a host");
    let path = path(target, false).expect("a path");
    let Some(storage) = storage(&host, &path, &HeaderMap::new()) else { return "none".into() };
    let word = |word: &Option<Arc<str>>| word.as_deref().unwrap_or("-").to_owned();
    format!("{} {} {}", storage.provider, word(&storage.account), word(&storage.bucket))
}

#[test]
fn buckets_are_found_in_every_style() {
    let table = [
        ("s3.amazonaws.com/ours/a/b", "s3 - ours"),
        ("s3.amazonaws.com", "s3 - -"),
        ("s3.amazonaws.com/?list-type=2", "s3 - -"),
        ("ours.s3.amazonaws.com/theirs/a", "s3 - ours"),
        ("s3.eu-west-1.amazonaws.com/ours/a", "s3 - ours"),
        ("ours.s3.eu-west-1.amazonaws.com/a", "s3 - ours"),
        ("s3-eu-west-1.amazonaws.com/ours/a", "s3 - ours"),
        ("ours.s3-eu-west-1.amazonaws.com/a", "s3 - ours"),
        ("my.dotted.bucket.s3.us-west-2.amazonaws.com/a", "s3 - my.dotted.bucket"),
        ("s3.s3.amazonaws.com/a", "s3 - s3"),
        ("a.s3.s3.us-east-1.amazonaws.com/a", "s3 - a.s3"),
        ("s3.dualstack.eu-west-1.amazonaws.com/ours/a", "s3 - ours"),
        ("ours.s3.dualstack.eu-west-1.amazonaws.com/a", "s3 - ours"),
        ("s3-fips.dualstack.us-east-1.amazonaws.com/ours/a", "s3 - ours"),
        ("ours.s3-fips.us-east-1.amazonaws.com/a", "s3 - ours"),
        ("ours.s3-accelerate.amazonaws.com/a", "s3 - ours"),
        ("ours.s3-accelerate.dualstack.amazonaws.com/a", "s3 - ours"),
        ("ours.s3-website-us-east-1.amazonaws.com/a", "s3 - ours"),
        ("ours.s3-website.eu-central-1.amazonaws.com/a", "s3 - ours"),
        ("ours.s3-external-1.amazonaws.com/a", "s3 - ours"),
        ("ours.s3.cn-north-1.amazonaws.com.cn/a", "s3 - ours"),
        (
            "ours-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/a",
            "s3 123456789012 accesspoint/ours",
        ),
        (
            "ours-123456789012.s3-accesspoint-fips.dualstack.us-east-1.amazonaws.com/a",
            "s3 123456789012 accesspoint/ours",
        ),
        (
            "ours-123456789012.s3-object-lambda.eu-west-1.amazonaws.com/a",
            "s3 123456789012 accesspoint/ours",
        ),
        (
            "ours-123456789012.op-1.s3-outposts.eu-west-1.amazonaws.com/a",
            "s3 123456789012 accesspoint/ours",
        ),
        ("alias.accesspoint.s3-global.amazonaws.com/ours/a", "s3 - -"),
        (
            "123456789012.s3-control.us-east-1.amazonaws.com/v20180820/bucket/ours",
            "s3 123456789012 -",
        ),
        (
            "ours--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com/a",
            "s3 - ours--use1-az4--x-s3",
        ),
        ("sqs.us-east-1.amazonaws.com/1/q", "none"),
        ("s3.amazonaws.com.evil.test/ours/a", "none"),
        ("evils3.amazonaws.com/ours", "none"),
        ("storage.googleapis.com/ours/a", "gcs - ours"),
        ("ours.storage.googleapis.com/theirs/a", "gcs - ours"),
        ("my.ours.storage.googleapis.com/a", "gcs - my.ours"),
        ("commondatastorage.googleapis.com/ours/a", "gcs - ours"),
        ("storage.cloud.google.com/ours/a", "gcs - ours"),
        ("storage.googleapis.com/storage/v1/b/ours/o?name=a", "gcs - ours"),
        ("storage.googleapis.com/upload/storage/v1/b/ours/o?name=a", "gcs - ours"),
        ("storage.googleapis.com/storage/v1/b?project=p", "gcs - -"),
        ("storage.googleapis.com/batch/storage/v1", "gcs - -"),
        ("storage.googleapis.com/storage/v1/b/ours/o/a/rewriteTo/b/theirs/o/b", "gcs - theirs"),
        ("storage.googleapis.com/storage/v1/b/ours/o/a/copyTo/b/theirs/o/b", "gcs - theirs"),
        ("storage.googleapis.com/storage/v1/b/ours/o/a/b/rewriteTo/b/theirs/o/b", "gcs - -"),
        ("storage.googleapis.com/google.storage.v2.Storage/WriteObject", "gcs - -"),
        ("storage.europe-west3.rep.googleapis.com/ours/a", "gcs - ours"),
        ("www.googleapis.com/upload/storage/v1/b/ours/o", "gcs - ours"),
        ("www.googleapis.com/drive/v3/files", "none"),
        ("firebasestorage.googleapis.com/v0/b/ours.appspot.com/o/a", "gcs - ours.appspot.com"),
        ("bigquery.googleapis.com/upload/x", "none"),
        ("acct.blob.core.windows.net/ours/a", "azure acct ours"),
        ("acct-secondary.blob.core.windows.net/ours/a", "azure acct ours"),
        ("acct.blob.core.windows.net/$root/a", "azure acct $root"),
        ("acct.blob.core.windows.net/?comp=list", "azure acct -"),
        ("acct.dfs.core.windows.net/ours/a", "azure acct ours"),
        ("acct.queue.core.chinacloudapi.cn/ours/messages", "azure acct ours"),
        ("acct.z01.blob.storage.azure.net/ours/a", "azure acct ours"),
        ("acct.z6.web.core.windows.net/a", "azure acct $web"),
        ("management.core.windows.net/a", "none"),
        ("blob.core.windows.net/a", "none"),
        ("acct.r2.cloudflarestorage.com/ours/a", "r2 acct ours"),
        ("ours.acct.r2.cloudflarestorage.com/a", "r2 acct ours"),
        ("ours.acct.eu.r2.cloudflarestorage.com/a", "r2 acct ours"),
        ("s3.us-west-004.backblazeb2.com/ours/a", "b2 - ours"),
        ("ours.s3.us-west-004.backblazeb2.com/a", "b2 - ours"),
        ("f004.backblazeb2.com/file/ours/a", "b2 - ours"),
        ("s3.eu-central-1.wasabisys.com/ours/a", "wasabi - ours"),
        ("ours.s3.wasabisys.com/a", "wasabi - ours"),
        ("ours.fra1.digitaloceanspaces.com/a", "spaces - ours"),
        ("fra1.digitaloceanspaces.com/ours/a", "spaces - ours"),
        ("ours.oss-eu-central-1.aliyuncs.com/a", "oss - ours"),
        ("ecs.aliyuncs.com/a", "none"),
        ("example.com/ours/a", "none"),
    ];
    for (url, expected) in table {
        assert_eq!(named(url), expected, "{url}");
    }
}

#[test]
fn the_key_that_signs_is_found() {
    let v4 = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, \
              SignedHeaders=host, Signature=00";
    let table = [
        ("s3.amazonaws.com", "/ours/a", v4, Some("AKIDEXAMPLE")),
        ("s3.amazonaws.com", "/ours/a", "AWS AKIDTWO:signature=", Some("AKIDTWO")),
        (
            "s3.amazonaws.com",
            "/ours/a?X-Amz-Credential=AKIDTHREE%2F20260101%2Fus-east-1%2Fs3%2Faws4_request",
            "",
            Some("AKIDTHREE"),
        ),
        ("s3.amazonaws.com", "/ours/a?AWSAccessKeyId=AKIDFOUR&Signature=x", "", Some("AKIDFOUR")),
        // Two keys that differ: nobody's.
        ("s3.amazonaws.com", "/ours/a?AWSAccessKeyId=AKIDFOUR", v4, Some("")),
        ("storage.googleapis.com", "/ours/a?GoogleAccessId=a%40b.test", "", Some("a@b.test")),
        (
            "storage.googleapis.com",
            "/ours/a?X-Goog-Credential=a%40b.test%2F20260101%2Fauto%2Fstorage%2Fgoog4_request",
            "",
            Some("a@b.test"),
        ),
        ("acct.blob.core.windows.net", "/ours/a?sv=1&sig=secret", "SharedKey acct:x", None),
        ("s3.amazonaws.com", "/ours/a", "Bearer x", None),
    ];
    for (authority, target, authorization, key) in table {
        let mut fields = HeaderMap::new();
        if !authorization.is_empty() {
            fields.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
        }
        let (host, path) = (host(authority).expect("fine"), path(target, false).expect("fine"));
        let found = storage(&host, &path, &fields).expect("storage");
        assert_eq!(found.key_id.as_deref(), key, "{target} {authorization}");
    }
}

#[test]
fn a_request_signed_for_s3_is_storage_wherever_it_goes() {
    let path =
        path("/ours/a?X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", false);
    let host = host("minio.internal.example:9000").expect("fine");
    let found = storage(&host, &path.expect("fine"), &HeaderMap::new()).expect("storage");
    assert_eq!((found.provider, found.bucket, found.key_id.as_deref()), ("s3", None, Some("AKID")));
}
