//! Events of every kind, made from a seed, and folders to keep them in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::event::{EVENT_VERSION, EventBody, RuleMatch, SessionId, Verdict};
use model::operation::{Objects, OperationId, Parameter};
use model::reply::{Column, DetectionCount, Origin};
use model::{Event, Principal, PrincipalKind, Timestamp, TokenId};
use object_store::ObjectStore;
use store::{Journal, journal};

use crate::archiver::{Options, Rounds};
use crate::bucket::{Bucket, Location};
use crate::manifest::{PublicKey, SigningKey};

pub const GATEWAY: &str = "gw-test";
/// 2026-11-29T03:30:00Z.
pub const START: u64 = 1_795_923_000 * 1_000_000_000;

/// Small numbers out of a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()].clone()
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        let odd =
            ["", "select 1", "ein Straßenname ü", "\u{0}\n\"\\\u{7f}\u{2028}", "public.t", "🦀"];
        self.one_of(&odd).to_owned()
    }

    fn shared(&mut self) -> Arc<str> {
        self.text().into()
    }

    fn count(&mut self) -> u64 {
        self.one_of(&[0, 1, 7, 65_536, u64::from(u32::MAX), i64::MAX.unsigned_abs()])
    }

    fn rules(&mut self) -> Vec<RuleMatch> {
        self.list(|r| RuleMatch { rule: r.shared(), action: r.shared(), observed: r.below(2) == 0 })
    }

    fn columns(&mut self) -> Vec<Column> {
        self.list(|r| Column {
            label: r.shared(),
            origins: r.list(|r| Origin {
                schema: r.shared(),
                table: r.shared(),
                column: r.shared(),
            }),
            mask: r.some(Self::shared),
        })
    }

    fn verdict(&mut self) -> Verdict {
        self.one_of(&[Verdict::Allow, Verdict::Mask, Verdict::Hold, Verdict::Block])
    }

    fn principal(&mut self) -> Principal {
        Principal {
            subject: self.shared(),
            kind: self.one_of(&[
                PrincipalKind::Agent,
                PrincipalKind::Person,
                PrincipalKind::Service,
            ]),
            groups: self.list(Self::shared),
            issuer: self.shared(),
            on_behalf_of: self.some(Self::shared),
            on_behalf_of_groups: self.list(Self::shared),
            token: self.some(|r| TokenId(r.shared())),
            minted_by: self.some(Self::shared),
            expires_at: self.some(|r| Timestamp(r.next())),
            certificate: None,
        }
    }

    /// The body of an event of the `kind`th kind, of thirteen.
    fn body(&mut self, kind: u64) -> EventBody {
        let operation = OperationId(self.count());
        match kind {
            0 => EventBody::SessionStarted {
                principal: self.principal(),
                client: self.text(),
                application: self.some(Self::text),
                protocol: self.text(),
                run: self.some(Self::text),
            },
            1 => EventBody::SessionRefused {
                client: self.text(),
                reason: self.text(),
                protocol: self.text(),
            },
            2 => EventBody::SessionEnded {
                reason: self.text(),
                detail: self.some(Self::text),
                operations: self.count(),
                rows: self.count(),
                bytes: self.count(),
            },
            3 => EventBody::Operation {
                operation,
                step: self.text(),
                under: self.some(|r| OperationId(r.count())),
                text: self.shared(),
                parameters: self.list(|r| Parameter { kind: r.text(), value: r.some(Self::text) }),
                objects: Arc::new(Objects {
                    verbs: self.list(Self::shared),
                    reads: self.list(Self::shared),
                    writes: self.list(Self::shared),
                    columns: self.list(Self::shared),
                }),
                decision: self.verdict(),
                rules: self.rules(),
                message: self.some(Self::text),
                reason: self.some(Self::text),
                approval: self.some(Self::shared),
                approver: self.some(Self::shared),
            },
            4 => EventBody::Ruling {
                operation,
                decision: self.verdict(),
                rules: self.rules(),
                rows: self.count(),
                message: self.some(Self::text),
                approval: self.some(Self::shared),
                approver: self.some(Self::shared),
                reason: self.some(Self::text),
            },
            5 => EventBody::ReplyPart {
                operation,
                rows: self.count(),
                bytes: self.count(),
                columns: self.columns(),
            },
            6 => EventBody::Reply {
                operation,
                outcome: self.text(),
                rows: self.count(),
                bytes: self.count(),
                columns: self.columns(),
                detections: self.list(|r| DetectionCount {
                    kind: r.shared(),
                    seen: r.count(),
                    masked: r.count(),
                }),
                searched: self.list(Self::shared).into(),
                duration_ns: self.count(),
                error_code: self.some(Self::text),
                payload_dropped: self.count(),
                sent: self.count(),
            },
            7 => EventBody::Unsolicited { what: self.text(), bytes: self.count() },
            8 => EventBody::Abort { operation },
            9 => EventBody::Cancel {},
            10 => EventBody::Alert { operation, rule: self.shared(), message: self.text() },
            11 => EventBody::Admin {
                actor: self.text(),
                action: self.text(),
                target: self.text(),
                detail: self.some(Self::text),
            },
            _ => EventBody::Gap { operations: self.count() },
        }
    }

    /// Some event, `number` seconds after the start.
    pub fn event(&mut self, number: u64) -> Event {
        let kind = self.below(13);
        let mut event = Event {
            v: EVENT_VERSION,
            at: Timestamp(START + number * 1_000_000_000),
            gateway: GATEWAY.into(),
            session: self.some(|r| SessionId(format!("s_{}", r.below(5)).into())),
            sequence: self.count(),
            principal: self.some(Self::shared),
            on_behalf_of: number.is_multiple_of(3).then(|| "ann".into()),
            resource: self.some(Self::shared),
            body: self.body(kind),
            payload: self.list(|r| r.next().to_le_bytes()).concat(),
        };
        // The event that begins a session says it twice.
        if let EventBody::SessionStarted { principal, .. } = &event.body {
            event.on_behalf_of.clone_from(&principal.on_behalf_of);
        }
        event
    }
}

/// A folder of its own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("narrows-archive-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A journal, a store and what makes one from the other.
pub struct Lab {
    pub folder: Folder,
    pub journal: Arc<Journal>,
    pub bucket: Arc<Bucket>,
    key: String,
}

pub const NO_KEEPING: Options = Options { every: Duration::from_secs(60), keep: Duration::ZERO };

impl Lab {
    pub fn new() -> Self {
        let folder = Folder::new();
        let location = Location::Folder(folder.path().join("store"));
        let bucket = Bucket::open(&location, true).unwrap();
        Self::with(folder, bucket)
    }

    /// With this store.
    pub fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self::with(Folder::new(), Bucket::of(objects))
    }

    fn with(folder: Folder, bucket: Bucket) -> Self {
        let options = journal::Options { sync: Duration::from_millis(1), ..Default::default() };
        let (journal, _) = Journal::open(&folder.path().join("journal"), GATEWAY, options).unwrap();
        let (_, key) = SigningKey::make().unwrap();
        Self { folder, journal: Arc::new(journal), bucket: Arc::new(bucket), key }
    }

    /// The same gateway with the data folder of `from`, as after restoring a copy of it.
    pub fn restored(self, from: &Path) -> Self {
        let Self { folder, journal, bucket, key } = self;
        drop(journal);
        let path = folder.path().join("journal");
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        for entry in std::fs::read_dir(from.join("journal")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
        let _ = std::fs::remove_file(folder.path().join("archive.json"));
        if from.join("archive.json").exists() {
            std::fs::copy(from.join("archive.json"), folder.path().join("archive.json")).unwrap();
        }
        let options = journal::Options { sync: Duration::from_millis(1), ..Default::default() };
        let (journal, _) = Journal::open(&path, GATEWAY, options).unwrap();
        Self { folder, journal: Arc::new(journal), bucket, key }
    }

    /// A copy of the data folder, without the store.
    pub fn copied(&self) -> Folder {
        let copy = Folder::new();
        let to = copy.path().join("journal");
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(self.folder.path().join("journal")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let remembers = self.folder.path().join("archive.json");
        if remembers.exists() {
            std::fs::copy(remembers, copy.path().join("archive.json")).unwrap();
        }
        copy
    }

    /// Another machine with the same data folder, on the same store.
    pub fn twin(&self) -> Self {
        let folder = self.copied();
        let options = journal::Options { sync: Duration::from_millis(1), ..Default::default() };
        let (journal, _) = Journal::open(&folder.path().join("journal"), GATEWAY, options).unwrap();
        let (bucket, key) = (Arc::clone(&self.bucket), self.key.clone());
        Self { folder, journal: Arc::new(journal), bucket, key }
    }

    /// Another gateway, with a key of its own, on the same store.
    pub fn neighbour(&self, gateway: &str) -> Self {
        let folder = Folder::new();
        let options = journal::Options { sync: Duration::from_millis(1), ..Default::default() };
        let (journal, _) = Journal::open(&folder.path().join("journal"), gateway, options).unwrap();
        let (_, key) = SigningKey::make().unwrap();
        Self { folder, journal: Arc::new(journal), bucket: Arc::clone(&self.bucket), key }
    }

    /// The same gateway, with the key of another.
    pub fn with_key_of(self, other: &Self) -> Self {
        Self { key: other.key.clone(), ..self }
    }

    pub fn rounds(&self, options: Options) -> Rounds {
        let (journal, bucket) = (Arc::clone(&self.journal), Arc::clone(&self.bucket));
        let key = SigningKey::read(&self.key).unwrap();
        Rounds::new(journal, bucket, key, self.folder.path(), options).unwrap()
    }

    pub fn public(&self) -> PublicKey {
        SigningKey::read(&self.key).unwrap().public()
    }

    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Flips a bit in the middle of a segment; its file.
    pub fn damage(&self, segment: u64) -> PathBuf {
        let path = self.journal.segment_path(segment);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Appends events and returns them.
    pub fn append(&self, seed: u64, numbers: std::ops::Range<u64>) -> Vec<Event> {
        let mut random = Random(seed);
        let gateway: Arc<str> = self.journal.gateway().into();
        let event = |number| Event { gateway: Arc::clone(&gateway), ..random.event(number) };
        let events: Vec<Event> = numbers.map(event).collect();
        self.journal.append(&events).unwrap();
        events
    }
}

/// The time `seconds` after the start.
pub fn after(seconds: u64) -> Timestamp {
    Timestamp(START + seconds * 1_000_000_000)
}
