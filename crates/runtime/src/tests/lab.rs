//! A whole gateway in a temporary folder, and clients to talk to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::taint::{Taint, TaintKey, Trail};
use engine::{COMMON_FACTS, Guessed, HashKey, Ledger, Protocol};
use model::{Event, EventBody, Guess, PrincipalKind, Resource, Timestamp, TokenId, UpstreamTls};
use policy::{
    AccessSpec, ActionSpec, ApproveSpec, Located, Location, PayloadPolicy, PolicySet, PolicySpec,
    RuleSpec, Schema, Usage,
};
use store::{NewToken, Store, StoreOptions};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

use super::server::Server;
use super::toy::{CHARTED, TOY};
use crate::{Gateway, OnFailure, Parts, ResourcePlan, Settings, clock};

/// A test that waits longer than this has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Lab {
    pub store: Store,
    pub gateway: Arc<Gateway>,
    pub address: SocketAddr,
    pub folder: PathBuf,
    pub schema: Setting,
}

/// What a lab is made with.
pub(super) struct Plan {
    pub resources: Vec<ResourcePlan>,
    pub settings: Settings,
    pub server_tls: Option<Arc<rustls::ServerConfig>>,
    pub protocol: &'static str,
    pub journal: store::journal::Options,
}

impl Plan {
    pub fn new(resources: Vec<ResourcePlan>) -> Self {
        Self {
            resources,
            settings: Settings::default(),
            server_tls: None,
            protocol: "toy",
            journal: store::journal::Options::default(),
        }
    }
}

/// What policies are compiled against.
pub(super) struct Setting {
    schema: Schema,
    protocols: Vec<(&'static dyn Protocol<Bytes>, policy::BlockId)>,
}

impl Setting {
    fn new() -> Self {
        let mut schema = Schema::new();
        schema.declare("common", COMMON_FACTS);
        let toys: [&'static dyn Protocol<Bytes>; 2] = [&TOY, &CHARTED];
        let protocols =
            toys.map(|toy| (toy, schema.declare(toy.name(), toy.facts()))).into_iter().collect();
        Self { schema, protocols }
    }

    /// Everyone may use everything; `ASK` needs a yes of the approvers.
    pub fn policy(&self, resources: &[ResourcePlan], access: bool) -> Arc<PolicySet> {
        let at = Location::default();
        let text = |text: &str| Located::new(text.to_owned(), at.clone());
        let approve = ApproveSpec {
            by: vec![text("approvers")],
            wait: Some(Duration::from_secs(60)),
            ..ApproveSpec::default()
        };
        let rule = RuleSpec {
            name: text("ask-first"),
            applies: policy::Applies::default(),
            on: Vec::new(),
            when: Some(text("toy.verb == \"ASK\"")),
            action: ActionSpec::Approve(approve),
            observe: false,
            window: None,
            at: at.clone(),
        };
        let line = AccessSpec {
            subjects: vec![text("*")],
            resources: vec![text("*")],
            ..AccessSpec::default()
        };
        let spec = PolicySpec {
            version: 1,
            rules: vec![rule],
            access: access.then_some(line).into_iter().collect(),
            lists: Vec::new(),
            resources: resources.iter().map(|plan| plan.resource.clone()).collect(),
        };
        let protocols: Vec<_> = self
            .protocols
            .iter()
            .map(|(toy, block)| (toy.name(), *block, toy.capabilities()))
            .collect();
        Arc::new(policy::compile(spec, &self.schema, &protocols).unwrap())
    }
}

pub(super) struct NoLedger;

impl Ledger for NoLedger {
    fn usage(&self, _: Option<&str>, _: &str, _: Duration, _: Timestamp) -> Usage {
        Usage::default()
    }
    fn add(&self, _: &str, _: &str, _: Usage, _: Timestamp) {}
    fn guess(&self, _: &str, _: &str, _: &[Guess], _: Timestamp) -> Guessed {
        Guessed::Within
    }
    fn trail(&self, _: &str) -> Arc<Trail> {
        Arc::new(Trail::new(Arc::new(TaintKey::new(b"a key of the tests"))))
    }
    fn keep(&self, _: &str, _: &[Taint], _: Timestamp) -> bool {
        false
    }
}

pub(super) fn temporary_folder() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("narrows-runtime-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A plan for `server` under the name `box`.
pub(super) fn resource(server: SocketAddr) -> ResourcePlan {
    ResourcePlan {
        resource: Resource { name: "box".into(), kind: "toy".into() },
        host: server.ip().to_string(),
        port: server.port(),
        tls: UpstreamTls::Off,
        ca_file: None,
        user: "service".to_owned(),
        password: None,
        credentials: None,
        database: "main".to_owned(),
        options: Arc::new(serde_json::Value::Null),
        on_failure: OnFailure::Refuse,
        payload: PayloadPolicy::Full,
    }
}

impl Lab {
    pub async fn with(server: &Server) -> Self {
        Self::new(Plan::new(vec![resource(server.address)])).await
    }

    pub async fn new(plan: Plan) -> Self {
        let folder = temporary_folder();
        let options = StoreOptions {
            journal: plan.journal,
            sessions_max: plan.settings.sessions_max,
            ..StoreOptions::new(&folder)
        };
        let (store, _) = Store::open(options, clock::now()).unwrap();
        let schema = Setting::new();
        let gateway = Gateway::new(Parts {
            gateway: Arc::clone(&store.gateway),
            data_dir: folder.clone(),
            protocols: schema.protocols.clone(),
            web: None,
            sites: Vec::new(),
            refuses: |_| None,
            authority: None,
            policy: schema.policy(&plan.resources, true),
            resources: plan.resources,
            journal: Arc::clone(&store.journal),
            proofs: identity::Proofs::new(Arc::clone(&store.tokens), Arc::clone(&store.logins)),
            approvals: Arc::clone(&store.approvals),
            live: Arc::clone(&store.live),
            ledger: Arc::new(NoLedger),
            server_tls: plan.server_tls,
            hash_key: Arc::new(HashKey::new(&[7; 32])),
            settings: plan.settings,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&gateway);
        tokio::spawn(async move { serving.serve(listener, plan.protocol).await.unwrap() });
        Self { store, gateway, address, folder, schema }
    }

    pub fn token(&self, ttl: Option<Duration>) -> (TokenId, String) {
        let new = NewToken {
            subject: "agent-7".to_owned(),
            groups: vec!["agents".to_owned()],
            kind: PrincipalKind::Agent,
            ttl,
            minted_by: None,
        };
        let (record, secret) = self.store.tokens.create(new, clock::now()).unwrap();
        (record.id, secret.expose().clone())
    }

    pub async fn client(&self) -> Talker<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Talker::new(stream)
    }

    /// A client that is let in; its cancel key is given too.
    pub async fn session(&self) -> (Talker<TcpStream>, String) {
        let (_, token) = self.token(None);
        let mut client = self.client().await;
        let ready = client.ask(&format!("HELLO {token} box")).await;
        let key = ready.strip_prefix("READY ").expect("let in").to_owned();
        (client, key)
    }

    /// What the journal holds.
    pub fn events(&self) -> Vec<Event> {
        self.store.journal.read().unwrap().map(|record| record.unwrap().event).collect()
    }

    /// Why sessions ended, in order.
    pub fn ends(&self) -> Vec<String> {
        let end = |event: Event| match event.body {
            EventBody::SessionEnded { reason, .. } => Some(reason),
            _ => None,
        };
        self.events().into_iter().filter_map(end).collect()
    }

    /// Why clients were turned away, in order.
    pub fn refusals(&self) -> Vec<String> {
        let refused = |event: Event| match event.body {
            EventBody::SessionRefused { reason, .. } => Some(reason),
            _ => None,
        };
        self.events().into_iter().filter_map(refused).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until `holds`; fails the test when it never does.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// A client of the line protocol.
pub(super) struct Talker<S>(pub BufStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talker<S> {
    pub fn new(stream: S) -> Self {
        Self(BufStream::new(stream))
    }

    pub async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next line; empty at the end of the stream.
    pub async fn hear(&mut self) -> String {
        let mut line = String::new();
        let heard = tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await;
        match heard.expect("an answer in time") {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) => panic!("the connection was reset: {error}"),
        }
    }

    pub async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.hear().await
    }
}
