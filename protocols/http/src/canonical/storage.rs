//! The bucket and the account that a request names in somebody's cloud storage.
//!
//! "The storage host is allowed" is how data leaves: to another customer's bucket on the same host.
//! So a rule can name the bucket. Where a request is to a storage service and the bucket cannot be
//! told (it is in the body, or the form is new), there is a [`Storage`] without a bucket, so that a
//! rule which wants its own bucket does not match.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Host, Path, query_pairs};

/// Storage that a request names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Storage {
    /// Whose service: `s3`, `gcs`, `azure`, `r2`, `b2`, `oss`, `spaces`, `wasabi`, `linode`.
    pub provider: &'static str,
    /// The account: of Azure, of an S3 access point, of R2.
    pub account: Option<Arc<str>>,
    /// The bucket (Azure: container). An access point is `accesspoint/NAME`, which no bucket can be
    /// called.
    pub bucket: Option<Arc<str>>,
    /// The public half of the key that signs the request: whose bucket rights it uses. Azure's
    /// signatures have none.
    pub key_id: Option<Arc<str>>,
}

/// The storage that a canonical request names; `None` when its host is no storage service that is
/// known.
///
/// A custom domain in front of a bucket is not known as storage; neither is a compatible server at
/// a host of its own, unless the request is signed for S3: then its bucket is unknown.
#[must_use]
pub fn storage(host: &Host, path: &Path, fields: &HeaderMap) -> Option<Storage> {
    let place = amazon(&host.name, &path.path)
        .or_else(|| google(&host.name, &path.path))
        .or_else(|| azure(&host.name, &path.path))
        .or_else(|| compatible(&host.name, &path.path));
    let signed = Signed::read(path, fields);
    let place = match place {
        Some(place) => place,
        None if signed.for_s3 => Place::new("s3", None),
        None => return None,
    };
    Some(Storage {
        provider: place.provider,
        account: place.account.map(Arc::from),
        bucket: place.bucket.filter(|bucket| !bucket.is_empty()).map(Arc::from),
        key_id: signed.key_id.map(Arc::from),
    })
}

/// Where a request leads.
struct Place {
    provider: &'static str,
    account: Option<String>,
    bucket: Option<String>,
}

impl Place {
    fn new(provider: &'static str, bucket: Option<String>) -> Self {
        Self { provider, account: None, bucket }
    }

    fn of(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }
}

/// The decoded first segment of a path.
fn first_segment(path: &str) -> Option<String> {
    segments(path).next()
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split('/').filter(|segment| !segment.is_empty()).map(|segment| {
        percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
    })
}

/// The bucket in front of a host, or else the first segment of the path.
fn in_host_or_path(before: &[&str], path: &str) -> Option<String> {
    if before.is_empty() { first_segment(path) } else { Some(before.join(".")) }
}

/// Hosts of S3 ("Amazon S3 endpoints and quotas"; "Methods for accessing a general purpose
/// bucket"): `[BUCKET.]s3[.dualstack][.REGION]`, with `-` before the region in old ones, and the
/// services beside it.
fn amazon(name: &str, path: &str) -> Option<Place> {
    let before = name
        .strip_suffix(".amazonaws.com")
        .or_else(|| name.strip_suffix(".amazonaws.com.cn"))
        .or_else(|| name.strip_suffix(".amazonaws.eu"))
        .or_else(|| name.strip_suffix(".api.aws"))?;
    let labels: Vec<&str> = before.split('.').collect();
    // From the right: the service, a region after it, `dualstack` between them.
    let (service, front) = match labels.as_slice() {
        [front @ .., service] if is_amazon_service(service) => (*service, front),
        [front @ .., service, _] if is_amazon_service(service) => (*service, front),
        [front @ .., service, "dualstack", _] if is_amazon_service(service) => (*service, front),
        _ => return None,
    };
    let unknown = || Some(Place::new("s3", None));
    match (service.strip_suffix("-fips").unwrap_or(service), front) {
        // `NAME-ACCOUNT`; an account is twelve digits.
        ("s3-accesspoint" | "s3-object-lambda", [access]) | ("s3-outposts", [access, _]) => {
            match access.rsplit_once('-') {
                Some((point, account)) => {
                    Some(Place::new("s3", Some(format!("accesspoint/{point}"))).of(account))
                }
                None => unknown(),
            }
        }
        ("s3-control", [account]) => Some(Place::new("s3", None).of(account)),
        ("s3-control" | "s3-accesspoint" | "s3-object-lambda" | "s3-outposts" | "s3-global", _) => {
            unknown()
        }
        (_, front) => Some(Place::new("s3", in_host_or_path(front, path))),
    }
}

fn is_amazon_service(label: &str) -> bool {
    label == "s3" || label.starts_with("s3-") || label.starts_with("s3express-")
}

/// Hosts and paths of Google Cloud Storage: the XML API (bucket in host or path), the JSON API and
/// Firebase's (`/b/BUCKET/o/…`). A copy's bucket is the one it writes to.
fn google(name: &str, path: &str) -> Option<Place> {
    const XML: &[&str] = &["storage.googleapis.com", "commondatastorage.googleapis.com"];
    const OTHER: &[&str] = &[
        "storage.cloud.google.com",
        "storage.mtls.googleapis.com",
        "storage-download.googleapis.com",
    ];
    const JSON: &[&str] = &["www.googleapis.com", "content-storage.googleapis.com"];
    for host in XML {
        if let Some(bucket) = name.strip_suffix(host).and_then(|rest| rest.strip_suffix('.')) {
            return Some(Place::new("gcs", Some(bucket.to_owned())));
        }
    }
    let regional = name.starts_with("storage.") && name.ends_with(".rep.googleapis.com");
    let firebase = name == "firebasestorage.googleapis.com";
    let json = JSON.contains(&name);
    if !(regional || firebase || json || XML.contains(&name) || OTHER.contains(&name)) {
        return None;
    }
    let parts: Vec<String> = segments(path).collect();
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let api = match words.as_slice() {
        ["upload" | "download" | "resumable", "storage", _, rest @ ..]
        | ["storage", "v1" | "v1beta1" | "v1beta2", rest @ ..] => Some(rest),
        ["v0", rest @ ..] if firebase => Some(rest),
        // Many requests in one body; calls whose bucket is in the message.
        ["batch", ..] => Some(&[][..]),
        [service, ..] if service.starts_with("google.storage.") => Some(&[][..]),
        _ => None,
    };
    match api {
        Some(rest) => Some(Place::new("gcs", json_bucket(rest))),
        None if json => None,
        None if firebase => Some(Place::new("gcs", None)),
        None => Some(Place::new("gcs", first_segment(path))),
    }
}

/// `b/BUCKET/…`, or the bucket that a copy writes to: `b/A/o/X/rewriteTo/b/BUCKET/o/Y`.
fn json_bucket(rest: &[&str]) -> Option<String> {
    match rest {
        ["b", _, "o", _, "rewriteTo" | "copyTo", "b", bucket, ..] => Some((*bucket).to_owned()),
        ["b", bucket, "o", object @ ..] => {
            // A name with slashes could hide where the copy goes.
            let copies = object.iter().any(|word| matches!(*word, "rewriteTo" | "copyTo"));
            (!copies).then(|| (*bucket).to_owned())
        }
        ["b", bucket, ..] => Some((*bucket).to_owned()),
        _ => None,
    }
}

/// Hosts of Azure Storage: `ACCOUNT[.ZONE].SERVICE.core.windows.net` and those of its other clouds.
fn azure(name: &str, path: &str) -> Option<Place> {
    const CLOUDS: &[&str] = &[
        ".core.windows.net",
        ".core.chinacloudapi.cn",
        ".core.usgovcloudapi.net",
        ".core.cloudapi.de",
        ".storage.azure.net",
    ];
    let before = CLOUDS.iter().find_map(|cloud| name.strip_suffix(cloud))?;
    let labels: Vec<&str> = before.split('.').collect();
    let [account, zone @ .., service] = labels.as_slice() else { return None };
    let bucket = match (*service, zone.len()) {
        (_, 2..) => return None,
        ("blob" | "dfs" | "file" | "queue" | "table", _) => first_segment(path),
        ("web", _) => Some("$web".to_owned()),
        _ => return None,
    };
    let account = account.strip_suffix("-secondary").unwrap_or(account);
    Some(Place::new("azure", bucket).of(account))
}

/// Services that speak S3 at hosts of their own.
fn compatible(name: &str, path: &str) -> Option<Place> {
    if let Some(before) = name.strip_suffix(".r2.cloudflarestorage.com") {
        let labels: Vec<&str> = before.split('.').collect();
        let labels = match labels.as_slice() {
            [front @ .., "eu" | "fedramp"] => front,
            all => all,
        };
        let (account, front) = labels.split_last()?;
        return Some(Place::new("r2", in_host_or_path(front, path)).of(account));
    }
    // `[BUCKET.]s3.REGION.DOMAIN`, or `[BUCKET.]REGION.DOMAIN`.
    for (provider, domain) in [
        ("b2", ".backblazeb2.com"),
        ("wasabi", ".wasabisys.com"),
        ("spaces", ".digitaloceanspaces.com"),
        ("linode", ".linodeobjects.com"),
        ("oss", ".aliyuncs.com"),
    ] {
        let Some(before) = name.strip_suffix(domain) else { continue };
        let labels: Vec<&str> = before.split('.').collect();
        let front = match labels.as_slice() {
            [front @ .., "s3"] | [front @ .., "s3", _] => front,
            [front @ .., region] if provider == "oss" => {
                if !region.starts_with("oss-") {
                    return None;
                }
                front
            }
            // Backblaze's own interface: `fNNN.backblazeb2.com/file/BUCKET/…`.
            _ if provider == "b2" => {
                let mut parts = segments(path);
                let file = parts.next().is_some_and(|first| first == "file");
                return Some(Place::new("b2", if file { parts.next() } else { None }));
            }
            [front @ .., _, "cdn"] => front,
            [front @ .., _] => front,
            [] => return None,
        };
        return Some(Place::new(provider, in_host_or_path(front, path)));
    }
    None
}

/// Who signed a request, as far as it says.
#[derive(Default)]
struct Signed {
    key_id: Option<String>,
    for_s3: bool,
}

impl Signed {
    fn read(path: &Path, fields: &HeaderMap) -> Self {
        let mut signed = Self::default();
        for value in fields.get_all(AUTHORIZATION) {
            signed.field(&String::from_utf8_lossy(value.as_bytes()));
        }
        for (name, value) in query_pairs(path.query.as_deref().unwrap_or_default()) {
            match name.to_ascii_lowercase().as_str() {
                "x-amz-credential" | "x-goog-credential" => signed.credential(&value),
                "awsaccesskeyid" | "ossaccesskeyid" => {
                    signed.for_s3 = true;
                    signed.key(&value);
                }
                "googleaccessid" => signed.key(&value),
                _ => {}
            }
        }
        signed
    }

    /// `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`, or of version 2
    /// `AWS KEY:SIGNATURE`, `GOOG1 KEY:SIGNATURE`.
    fn field(&mut self, value: &str) {
        let Some((scheme, rest)) = value.split_once(' ') else { return };
        let scheme = scheme.to_ascii_uppercase();
        if scheme.starts_with("AWS4-") || scheme.starts_with("GOOG4-") {
            let mut parts = rest.split(',').map(str::trim);
            let credential = parts.find_map(|part| part.strip_prefix("Credential="));
            self.credential(credential.unwrap_or_default());
        } else if matches!(scheme.as_str(), "AWS" | "GOOG1" | "OSS") {
            self.for_s3 = true;
            self.key(rest.split(':').next().unwrap_or_default());
        }
    }

    fn credential(&mut self, scope: &str) {
        let mut parts = scope.trim().split('/');
        let key = parts.next().unwrap_or_default();
        self.for_s3 |= parts.any(|part| matches!(part, "s3" | "s3express" | "s3-object-lambda"));
        self.key(key);
    }

    /// The first key counts; a second, different one makes it unknown.
    fn key(&mut self, key: &str) {
        let key = key.trim();
        match &self.key_id {
            None if !key.is_empty() => self.key_id = Some(key.to_owned()),
            Some(known) if known != key => self.key_id = Some(String::new()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
