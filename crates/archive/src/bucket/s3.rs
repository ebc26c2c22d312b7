//! What S3 can do beside keeping objects: object lock, legal hold, versions, encryption of its own.
//!
//! An object is locked by the very request that makes it, so it is never there unlocked. The
//! library signs a request before its HTTP client gets it, and knows no such fields: the client
//! here adds them to requests that carry a [`Lock`], and signs again. Requests that the library
//! does not have at all are made and signed here, with its credentials.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, StatusCode};
use model::Timestamp;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential,
};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService, ReqwestConnector,
};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{
    ClientOptions, CredentialProvider, Error as Refusal, HeaderMap, HeaderValue, Result,
};

use super::{PAUSE_MAX, RETRY_FOR};
use crate::merkle::{sha256, unhex};

const STORE: &str = "S3";
const REGION_DEFAULT: &str = "us-east-1";
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// How long the address that a request is sent to could be used, if it were: nothing uses it.
const ADDRESS_FOR: Duration = Duration::from_secs(60);
/// Former versions of one object that are listed at once.
const VERSIONS_MAX: usize = 100_000;

/// The library's name of a setting.
const KMS_KEY: &str = "aws_sse_kms_key_id";

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const CHECKSUM: &str = "x-amz-checksum-sha256";
/// S3 takes a request that locks only with a checksum, and this field says which.
const ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";
const HASHED: &str = "x-amz-content-sha256";

/// Who may lift the lock of an object before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LockMode {
    /// Who has the permission `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody, the owner of the account included.
    Compliance,
}

impl LockMode {
    /// The word of the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Until when an object can be neither changed nor deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lock {
    /// Who may lift it.
    pub mode: LockMode,
    /// Until when; S3 keeps whole seconds.
    pub until: Timestamp,
}

impl Lock {
    /// The time, not before it in whole seconds.
    fn until(&self) -> String {
        let seconds = i64::try_from(self.until.0.div_ceil(1_000_000_000)).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The lock that an object has; `None` if the store says nothing of one.
    fn of(fields: &HeaderMap) -> Option<Self> {
        let field = |name: &str| fields.get(name)?.to_str().ok();
        let mode = match field(MODE)? {
            "COMPLIANCE" => LockMode::Compliance,
            "GOVERNANCE" => LockMode::Governance,
            _ => return None,
        };
        let until: jiff::Timestamp = field(UNTIL)?.parse().ok()?;
        Some(Self { mode, until: Timestamp(u64::try_from(until.as_nanosecond()).ok()?) })
    }

    /// Whether an object that is locked like this is locked as `wanted`, or longer.
    fn serves(&self, wanted: &Self) -> bool {
        let seconds = |lock: &Self| lock.until.0.div_ceil(1_000_000_000);
        let is_strict = self.mode == wanted.mode || self.mode == LockMode::Compliance;
        is_strict && seconds(self) >= seconds(wanted)
    }
}

/// How the store itself encrypts what it keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreEncryption {
    /// SSE-S3: with keys of S3's own.
    S3,
    /// SSE-KMS: with a key in AWS KMS.
    Kms {
        /// The key: its ARN or id.
        key: String,
        /// Whether one data key of the bucket stands for many objects; as the bucket says, if
        /// `None`.
        bucket_key: Option<bool>,
    },
}

impl StoreEncryption {
    /// What the environment says of it that goes with nothing else, if it does. The library would
    /// send a key's name with SSE-S3, which S3 refuses.
    pub(super) fn contradicted(&self, builder: &AmazonS3Builder) -> Option<String> {
        let key = builder.get_config_value(&KMS_KEY.parse().ok()?)?;
        (*self == Self::S3).then(|| {
            format!(
                "recording.store_encryption is sse-s3, and AWS_SSE_KMS_KEY_ID in the environment \
                 names the key {key}: unset it, or write store_encryption: {{ aws_kms: {key:?} }}"
            )
        })
    }

    /// What the environment says of it is overruled.
    pub(super) fn set(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        Ok(match self {
            // The library names the key's type to nobody.
            Self::S3 => builder.with_config("aws_server_side_encryption".parse()?, "AES256"),
            Self::Kms { key, bucket_key } => {
                let builder = builder.with_sse_kms_encryption(key);
                match bucket_key {
                    Some(is_on) => builder.with_bucket_key(*is_on),
                    None => builder,
                }
            }
        })
    }
}

type Credentials = dyn CredentialProvider<Credential = AwsCredential>;

/// A bucket of S3.
pub(super) struct S3 {
    store: AmazonS3,
    client: HttpClient,
    region: String,
    prefix: Path,
}

/// What came back.
struct Answer {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
}

impl S3 {
    /// Builds the library's store, which locks what is to be locked, and what goes beyond it.
    pub fn build(builder: AmazonS3Builder, options: &ClientOptions, prefix: &str) -> Result<Self> {
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        let region = region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
        let credentials = Arc::new(OnceLock::new());
        let connector = Connector { credentials: Arc::clone(&credentials), region: region.clone() };
        let store = builder.with_http_connector(connector).build()?;
        // Nobody else sets it.
        let _ = credentials.set(Arc::downgrade(store.credentials()));
        let client = ReqwestConnector::default().connect(options)?;
        Ok(Self { store, client, region, prefix: Path::from(prefix) })
    }

    /// The library's store.
    pub fn objects(&self) -> Arc<AmazonS3> {
        Arc::new(self.store.clone())
    }

    fn full(&self, path: &str) -> Path {
        let prefix = self.prefix.parts();
        Path::from_iter(prefix.chain(Path::from(path).parts()))
    }

    /// Whether objects of the bucket can be locked.
    pub async fn is_lockable(&self) -> Result<bool> {
        let path = Path::default();
        let answer = self.call(Method::GET, &path, &[("object-lock", "")], None).await?;
        match answer.status {
            StatusCode::OK => Ok(between(&answer.body, "ObjectLockEnabled") == Some("Enabled")),
            StatusCode::NOT_FOUND if code(&answer.body) != "NoSuchBucket" => Ok(false),
            _ => Err(refusal(&path, &answer)),
        }
    }

    /// Whether an object is locked as `wanted`, or longer. A server that knows no locks may take a
    /// request for one without a word.
    pub async fn is_locked(&self, path: &str, wanted: &Lock) -> Result<bool> {
        let path = self.full(path);
        let answer = self.call(Method::HEAD, &path, &[], None).await?;
        match answer.status.is_success() {
            true => Ok(Lock::of(&answer.fields).is_some_and(|lock| lock.serves(wanted))),
            false => Err(refusal(&path, &answer)),
        }
    }

    /// Locks an object that is there, or locks it longer.
    pub async fn lock(&self, path: &str, lock: &Lock) -> Result<()> {
        let (mode, until) = (lock.mode.as_str(), lock.until());
        let body = format!(
            "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        self.change(path, "retention", body).await
    }

    /// Sets the legal hold of an object, or lifts it.
    pub async fn hold(&self, path: &str, is_on: bool) -> Result<()> {
        let status = if is_on { "ON" } else { "OFF" };
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        self.change(path, "legal-hold", body).await
    }

    async fn change(&self, path: &str, what: &str, body: String) -> Result<()> {
        let path = self.full(path);
        let answer = self.call(Method::PUT, &path, &[(what, "")], Some(body)).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(refusal(&path, &answer)),
        }
    }

    /// Deletes the versions of an object that are not its newest; how many there were. A store that
    /// knows no versions has none.
    pub async fn forget_former(&self, path: &str) -> Result<usize> {
        let path = self.full(path);
        let (mut count, mut first) = (0_usize, None);
        loop {
            let former = self.former(&path).await?;
            if first.is_some() && first.as_ref() == former.first() {
                return Err(odd("it says that versions are deleted, and lists them again"));
            }
            first = former.first().cloned();
            for version in &former {
                let query = [("versionId", version.as_str())];
                let answer = self.call(Method::DELETE, &path, &query, None).await?;
                if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                    return Err(refusal(&path, &answer));
                }
            }
            count = count.saturating_add(former.len());
            if former.len() < VERSIONS_MAX {
                return Ok(count);
            }
        }
    }

    async fn former(&self, path: &Path) -> Result<Vec<String>> {
        let (mut former, mut marker) = (Vec::new(), None::<(String, String)>);
        while former.len() < VERSIONS_MAX {
            let mut query = vec![("versions", ""), ("prefix", path.as_ref())];
            if let Some((key, version)) = &marker {
                query.extend([("key-marker", &**key), ("version-id-marker", &**version)]);
            }
            let answer = self.call(Method::GET, &Path::default(), &query, None).await?;
            if [StatusCode::NOT_IMPLEMENTED, StatusCode::METHOD_NOT_ALLOWED]
                .contains(&answer.status)
            {
                break;
            }
            if !answer.status.is_success() {
                return Err(refusal(path, &answer));
            }
            let body = String::from_utf8_lossy(&answer.body);
            for kind in ["Version", "DeleteMarker"] {
                for of in elements(&body, kind) {
                    let is_this = text(of, "Key").as_deref() == Some(path.as_ref());
                    let id = text(of, "VersionId").filter(|_| is_this);
                    former.extend(id.filter(|_| text(of, "IsLatest").as_deref() != Some("true")));
                }
            }
            let next = text(&body, "NextKeyMarker").zip(text(&body, "NextVersionIdMarker"));
            let is_cut = text(&body, "IsTruncated").as_deref() == Some("true");
            match next {
                _ if !is_cut => break,
                None => return Err(odd("its list of versions is cut, and does not say where")),
                Some(next) if marker.as_ref() == Some(&next) => {
                    return Err(odd("its list of versions does not go on where it was cut"));
                }
                Some((key, _)) if key != path.as_ref() => break,
                Some(next) => marker = Some(next),
            }
        }
        Ok(former)
    }

    /// One request, tried again for as long as the library tries.
    async fn call(
        &self,
        method: Method,
        path: &Path,
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Answer> {
        let address = self.store.signed_url(method.clone(), path, ADDRESS_FOR).await?;
        let (address, _) = address.as_str().split_once('?').unwrap_or((address.as_str(), ""));
        let pairs = query.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let pairs = pairs.collect::<Vec<_>>().join("&");
        let address =
            if pairs.is_empty() { address.to_owned() } else { format!("{address}?{pairs}") };
        let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = method.clone();
            *request.uri_mut() = address.parse().map_err(generic)?;
            if let Some(body) = &body {
                let sum = sha256(body.as_bytes());
                let encoded = base64::engine::general_purpose::STANDARD.encode(sum);
                let fields = request.headers_mut();
                fields.insert(CHECKSUM, HeaderValue::from_str(&encoded).map_err(generic)?);
                fields.insert(ALGORITHM, HeaderValue::from_static("SHA256"));
                fields.insert("content-type", HeaderValue::from_static("application/xml"));
                *request.body_mut() = body.clone().into();
            }
            sign(self.store.credentials().as_ref(), &self.region, &mut request).await?;
            let sent = async {
                let (parts, body) = self.client.execute(request).await?.into_parts();
                Ok::<_, HttpError>((parts, body.bytes().await?))
            };
            let is_late = begun.elapsed() + pause > RETRY_FOR;
            match sent.await {
                Ok((parts, body)) => {
                    let is_away = parts.status.is_server_error()
                        && parts.status != StatusCode::NOT_IMPLEMENTED
                        || parts.status == StatusCode::TOO_MANY_REQUESTS;
                    if !is_away || is_late {
                        return Ok(Answer { status: parts.status, fields: parts.headers, body });
                    }
                }
                Err(error) if is_late => return Err(generic(error)),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("store", &self.store.to_string()).finish_non_exhaustive()
    }
}

/// Makes the library's HTTP clients.
#[derive(Debug)]
struct Connector {
    /// Weak: some credentials are fetched by such a client themselves.
    credentials: Arc<OnceLock<Weak<Credentials>>>,
    region: String,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Locking {
            client: ReqwestConnector::default().connect(options)?,
            credentials: Arc::clone(&self.credentials),
            region: self.region.clone(),
        }))
    }
}

/// Sends requests; those that carry a [`Lock`] with the fields for it.
#[derive(Debug)]
struct Locking {
    client: HttpClient,
    credentials: Arc<OnceLock<Weak<Credentials>>>,
    region: String,
}

impl Locking {
    async fn lock(&self, request: &mut HttpRequest, lock: Lock) -> Result<()> {
        let until = HeaderValue::from_str(&lock.until()).map_err(generic)?;
        let fields = request.headers_mut();
        fields.insert(MODE, HeaderValue::from_static(lock.mode.as_str()));
        fields.insert(UNTIL, until);
        fields.insert(ALGORITHM, HeaderValue::from_static("SHA256"));
        // Where nothing is signed, because the environment says so, this is not either.
        if fields.remove("authorization").is_none() {
            return Ok(());
        }
        let credentials = self.credentials.get().and_then(Weak::upgrade);
        let credentials = credentials.ok_or_else(|| generic("the store is closed"))?;
        sign(credentials.as_ref(), &self.region, request).await
    }
}

impl HttpService for Locking {
    fn call<'a, 'b>(
        &'a self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            if let Some(lock) = request.extensions().get::<Lock>().copied() {
                let locked = self.lock(&mut request, lock).await;
                locked.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            }
            self.client.execute(request).await
        })
    }
}

/// Signs a request, again if it was signed. What it says of its body's hash stays.
async fn sign(credentials: &Credentials, region: &str, request: &mut HttpRequest) -> Result<()> {
    let credential = credentials.get_credential().await?;
    let hashed = request.headers().get(HASHED).and_then(|value| value.to_str().ok());
    let is_signed = hashed != Some("UNSIGNED-PAYLOAD");
    let digest = hashed.and_then(unhex::<32>);
    request.headers_mut().remove("x-amz-security-token");
    AwsAuthorizer::new(&credential, "s3", region)
        .with_sign_payload(is_signed)
        .try_authorize(request, digest.as_ref().map(<[u8; 32]>::as_slice))
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Generic { store: STORE, source: error.into() }
}

fn refusal(path: &Path, answer: &Answer) -> Refusal {
    let (code, message) =
        (code(&answer.body), between(&answer.body, "Message").unwrap_or_default());
    let source = format!("the store answered {} {code} {message}", answer.status);
    let (path, source) = (path.to_string(), source.trim_end().to_owned().into());
    match answer.status {
        StatusCode::NOT_FOUND => Refusal::NotFound { path, source },
        StatusCode::FORBIDDEN => Refusal::PermissionDenied { path, source },
        _ => Refusal::Generic { store: STORE, source },
    }
}

/// An answer that cannot be worked with.
fn odd(what: &str) -> Refusal {
    Refusal::Generic { store: STORE, source: what.into() }
}

fn code(body: &[u8]) -> &str {
    between(body, "Code").unwrap_or_default()
}

/// What is in the first element of a name in a document of the store's.
fn between<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    elements(std::str::from_utf8(body).ok()?, name).next()
}

/// What is in each element of a name, without attributes; such elements hold none of their name.
fn elements<'a>(body: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = body;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&start)?;
        let (inside, after) = after.split_once(&end)?;
        rest = after;
        Some(inside)
    })
}

/// The text of an element, its references resolved.
fn text(body: &str, name: &str) -> Option<String> {
    let text = elements(body, name).next()?;
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// A value of a query: unreserved characters stay (RFC 3986, section 2.3).
fn escaped(value: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_by_s3_is_not_asked_for_with_a_key_of_kms() {
        let unset = AmazonS3Builder::new();
        let set = AmazonS3Builder::new().with_config(KMS_KEY.parse().unwrap(), "arn:aws:kms:k");
        assert_eq!(StoreEncryption::S3.contradicted(&unset), None);
        let why = StoreEncryption::S3.contradicted(&set).unwrap();
        assert!(why.contains("AWS_SSE_KMS_KEY_ID") && why.contains("arn:aws:kms:k"), "{why}");
        let kms = StoreEncryption::Kms { key: "k".to_owned(), bucket_key: None };
        assert_eq!(kms.contradicted(&set), None, "it overrules the environment");
    }

    #[test]
    fn p6_a_lock_ends_in_no_second_before_its_time() {
        let lock = |until| Lock { mode: LockMode::Compliance, until: Timestamp(until) };
        assert_eq!(lock(1_795_924_800_000_000_000).until(), "2026-11-29T04:00:00Z");
        assert_eq!(lock(1_795_924_800_000_000_001).until(), "2026-11-29T04:00:01Z");
    }

    #[test]
    fn p6_a_lock_serves_one_that_is_as_strict_and_ends_no_later() {
        let lock = |mode, until: u64| Lock { mode, until: Timestamp(until * 1_000_000_000) };
        let (strict, other) = (LockMode::Compliance, LockMode::Governance);
        assert!(lock(strict, 9).serves(&lock(strict, 9)));
        assert!(lock(strict, 9).serves(&lock(other, 8)));
        assert!(!lock(other, 9).serves(&lock(strict, 9)));
        assert!(!lock(strict, 8).serves(&lock(strict, 9)));
    }

    #[test]
    fn a_lock_is_read_as_stores_write_it() {
        let fields = |mode: &'static str, until: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert(MODE, HeaderValue::from_static(mode));
            fields.insert(UNTIL, HeaderValue::from_static(until));
            fields
        };
        let at = Timestamp(1_795_924_800_000_000_000);
        for until in ["2026-11-29T04:00:00Z", "2026-11-29T04:00:00.000Z"] {
            let read = Lock::of(&fields("GOVERNANCE", until));
            assert_eq!(read, Some(Lock { mode: LockMode::Governance, until: at }), "{until}");
        }
        assert_eq!(Lock::of(&fields("GOVERNANCE", "soon")), None);
        assert_eq!(Lock::of(&fields("", "2026-11-29T04:00:00Z")), None);
        assert_eq!(Lock::of(&HeaderMap::new()), None);
    }

    #[test]
    fn elements_are_found_and_their_references_resolved() {
        let body = "<A><Key>a&amp;lt;b</Key></A><A><Key>c</Key></A><A><Key>cut";
        let keys: Vec<_> = elements(body, "A").map(|of| text(of, "Key")).collect();
        assert_eq!(keys, [Some("a&lt;b".to_owned()), Some("c".to_owned())]);
        assert_eq!(escaped("keys/gateway=gw-1 é"), "keys%2Fgateway%3Dgw-1%20%C3%A9");
    }
}
