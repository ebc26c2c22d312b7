//! Logins against a scripted server, in memory.

use aws_lc_rs::{digest, hmac, pbkdf2};
use engine::{Connected, Snapshots};
use postgres_protocol::authentication::md5_hash;

use super::*;
use crate::message::ready;

pub(crate) fn credential(user: &str, password: Option<&str>) -> Arc<Credential> {
    Arc::new(Credential {
        user: user.to_owned(),
        password: password.map(|password| Secret::new(password.to_owned())),
        database: "app".to_owned(),
        made: None,
    })
}

struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn current(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        None
    }
}

pub(crate) fn connected(credential: Arc<Credential>, tls: UpstreamTls) -> Connected {
    Connected { credential, tls, snapshots: Arc::new(NoSnapshots), options: Arc::default() }
}

/// `AuthenticationOk` and its siblings.
pub(crate) fn request(code: u32, rest: &[u8]) -> Bytes {
    message(b'R', |out| {
        out.put_u32(code);
        out.put_slice(rest);
    })
}

pub(crate) fn error(severity: &str, code: &str, text: &str) -> Bytes {
    message(b'E', |out| {
        for (kind, value) in [(b'S', severity), (b'V', severity), (b'C', code), (b'M', text)] {
            out.put_u8(kind);
            put_cstr(out, value.as_bytes());
        }
        out.put_u8(0);
    })
}

/// What follows `AuthenticationOk`, with a notice in between.
pub(crate) fn settled() -> Bytes {
    let mut out = BytesMut::new();
    for (name, value) in [("server_version", "17.2"), ("client_encoding", "UTF8")] {
        out.extend(message(b'S', |out| {
            put_cstr(out, name.as_bytes());
            put_cstr(out, value.as_bytes());
        }));
    }
    out.extend(message(b'N', |out| out.put_slice(b"SNOTICE\0MHello\0\0")));
    out.extend(message(b'K', |out| out.put_slice(&[0, 0, 0, 77, 1, 2, 3, 4])));
    out.extend(ready(b'I'));
    out.freeze()
}

fn login(password: Option<&str>, tls: UpstreamTls) -> Login {
    let parameters = [("application_name", "psql"), ("user", "root"), ("replication", "true")];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Login::new(&connected(credential("app_user", password), tls), parameters.to_vec())
}

/// The same upstream, which takes the handshake first.
pub(crate) fn connected_directly(tls: UpstreamTls) -> Connected {
    let options = Arc::new(serde_json::json!({ "tls_negotiation": "direct" }));
    Connected { options, ..connected(credential("app_user", None), tls) }
}

#[test]
fn the_handshake_comes_first_where_the_server_takes_it() {
    let mut login = Login::new(&connected_directly(UpstreamTls::VerifyFull), Vec::new());
    assert!(matches!(login.start(), Step::StartTls), "nothing is asked in clear");
    assert!(sent(login.tls_started(TlsFacts::default()).unwrap()).starts_with(&[0, 0, 0]));
    let mut login = Login::new(&connected_directly(UpstreamTls::Off), Vec::new());
    assert!(matches!(login.start(), Step::Send(_)), "there is no handshake");
}

/// A login whose start-up message was sent in clear.
fn begun(password: Option<&str>) -> Login {
    let mut login = login(password, UpstreamTls::Off);
    assert!(matches!(login.start(), Step::Send(_)));
    login
}

/// A login whose start-up message was sent inside TLS.
fn begun_inside_tls(password: Option<&str>, certificate: Option<&[u8]>) -> Login {
    let mut login = login(password, UpstreamTls::VerifyFull);
    assert_eq!(sent(login.start())[..], [0, 0, 0, 8, 4, 210, 22, 47]);
    let steps = login.data(&Bytes::from_static(b"S")).unwrap();
    assert!(matches!(steps.as_slice(), [Step::StartTls]));
    let facts = TlsFacts { certificate: certificate.map(<[u8]>::to_vec) };
    assert!(sent(login.tls_started(facts).unwrap()).starts_with(&[0, 0, 0]));
    login
}

fn sent(step: Step) -> Bytes {
    match step {
        Step::Send(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// The only thing to send after `bytes`.
fn answer(login: &mut Login, bytes: &[u8]) -> Bytes {
    let mut steps = login.data(&Bytes::copy_from_slice(bytes)).unwrap();
    assert_eq!(steps.len(), 1);
    sent(steps.remove(0))
}

fn waits(login: &mut Login, bytes: &[u8]) {
    let steps = login.data(&Bytes::copy_from_slice(bytes)).unwrap();
    assert!(steps.iter().all(|step| matches!(step, Step::Wait)), "{steps:?}");
}

fn logged_in(login: &mut Login, bytes: &[u8]) -> LoggedIn {
    let steps = login.data(&Bytes::copy_from_slice(bytes)).unwrap();
    match steps.into_iter().last() {
        Some(Step::Ready(logged_in)) => logged_in,
        other => panic!("{other:?}"),
    }
}

fn fails(login: &mut Login, bytes: &[u8]) -> LoginError {
    let error = login.data(&Bytes::copy_from_slice(bytes)).unwrap_err();
    let after = login.data(&request(0, &[])).unwrap_err();
    assert_eq!(after.reason, "upstream_protocol", "it went on after {error:?}");
    error
}

#[test]
fn the_start_up_message_names_our_own_account() {
    let start = sent(login(None, UpstreamTls::Off).start());
    let length = u32::try_from(start.len()).unwrap();
    assert_eq!(start[..8], [length.to_be_bytes(), [0, 3, 0, 0]].concat());
    let wanted = b"user\0app_user\0database\0app\0application_name\0psql\0\0";
    assert_eq!(start[8..], wanted[..]);
}

#[test]
fn trust_needs_no_password() {
    let mut login = begun(None);
    let all = [&request(0, &[])[..], &settled(), b"rest"].concat();
    let logged_in = logged_in(&mut login, &all);
    let names: Vec<_> = logged_in.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["server_version", "client_encoding"]);
    assert_eq!(logged_in.key.pid, 77);
    assert_eq!(logged_in.key.secret.expose()[..], [1, 2, 3, 4]);
    assert_eq!(logged_in.status, b'I');
    assert_eq!(logged_in.rest, b"rest"[..]);
}

#[test]
fn cutting_the_servers_words_anywhere_changes_nothing() {
    let all = [&request(0, &[])[..], &settled()].concat();
    for cut in 1..all.len() {
        let mut login = begun(None);
        login.data(&Bytes::copy_from_slice(&all[..cut])).unwrap();
        assert_eq!(logged_in(&mut login, &all[cut..]).key.pid, 77, "cut at {cut}");
    }
}

#[test]
fn a_password_is_sent_when_asked_for() {
    let mut clear = begun(Some("sesame"));
    assert_eq!(answer(&mut clear, &request(3, &[])), b"p\0\0\0\x0bsesame\0"[..]);
    logged_in(&mut clear, &[&request(0, &[])[..], &settled()].concat());

    let mut encrypted = begun_inside_tls(Some("sesame"), None);
    assert_eq!(answer(&mut encrypted, &request(3, &[])), b"p\0\0\0\x0bsesame\0"[..]);
    logged_in(&mut encrypted, &[&request(0, &[])[..], &settled()].concat());
}

#[test]
fn md5_is_salted() {
    let mut login = begun(Some("sesame"));
    let answer = answer(&mut login, &request(5, &[1, 2, 3, 4]));
    let wanted = md5_hash(b"app_user", b"sesame", [1, 2, 3, 4]);
    assert_eq!(answer[5..answer.len() - 1], *wanted.as_bytes());
    logged_in(&mut login, &[&request(0, &[])[..], &settled()].concat());
}

#[test]
fn a_missing_password_is_said() {
    for asked in [request(3, &[]), request(5, &[1, 2, 3, 4]), scram_offer(&["SCRAM-SHA-256"])] {
        let error = fails(&mut begun(None), &asked);
        assert_eq!(error.reason, "credential");
        assert!(error.detail.contains("has none"), "{}", error.detail);
    }
}

#[test]
fn unknown_methods_are_refused_by_name() {
    for (code, name) in
        [(2, "Kerberos"), (7, "GSSAPI"), (9, "SSPI"), (6, "unknown"), (99, "unknown")]
    {
        let error = fails(&mut begun(Some("sesame")), &request(code, &[]));
        assert_eq!(error.reason, "credential");
        assert!(error.detail.contains(name), "{}", error.detail);
    }
    let error = fails(&mut begun(Some("sesame")), &scram_offer(&["OAUTHBEARER", "EXTERNAL"]));
    assert!(error.detail.contains("OAUTHBEARER, EXTERNAL"), "{}", error.detail);
}

#[test]
fn p2_a_server_without_tls_is_refused_when_tls_is_required() {
    for tls in [UpstreamTls::Require, UpstreamTls::VerifyFull] {
        let mut login = login(Some("sesame"), tls);
        login.start();
        assert_eq!(fails(&mut login, b"N").reason, "upstream_tls");
    }
}

#[test]
fn bytes_before_the_handshake_are_refused() {
    for answer in [&b"SS"[..], b"SE\0\0\0\x05\0", b"E", b"\0", b"s", b""] {
        let mut login = login(Some("sesame"), UpstreamTls::Require);
        login.start();
        assert_eq!(fails(&mut login, answer).reason, "upstream_protocol", "{answer:?}");
    }
    let mut login = login(Some("sesame"), UpstreamTls::Require);
    login.start();
    login.data(&Bytes::from_static(b"S")).unwrap();
    assert_eq!(fails(&mut login, b"x").reason, "upstream_protocol");
    assert!(login.tls_started(TlsFacts::default()).is_err());
}

#[test]
fn the_servers_refusals_have_reasons() {
    let cases = [
        ("28P01", "credential"),
        ("28000", "credential"),
        ("3D000", "unknown_database"),
        ("53300", "too_many_connections"),
        ("57P03", "upstream_error"),
        ("", "upstream_error"),
    ];
    for (code, reason) in cases {
        for before in [&[][..], &request(0, &[])] {
            let words = [before, &error("FATAL", code, "no\r\nentry")].concat();
            let error = fails(&mut begun(Some("sesame")), &words);
            assert_eq!(error, LoginError::new(reason, format!("{code}: no  entry")));
        }
    }
    let error = fails(&mut begun(None), &error("FATAL", "57P03", &"x".repeat(40_000)));
    assert!(error.detail.len() < 600);
    assert_eq!(fails(&mut begun(None), &message(b'E', |out| out.put_u8(b'M'))).detail, ": ");
}

#[test]
fn an_older_protocol_may_be_negotiated_but_not_another_one() {
    let negotiate = |version: u32, options: &[&str]| {
        message(b'v', |out| {
            out.put_u32(version);
            out.put_u32(u32::try_from(options.len()).unwrap());
            options.iter().for_each(|option| put_cstr(out, option.as_bytes()));
        })
    };
    for words in [negotiate(3 << 16, &[]), negotiate(2, &[]), negotiate(3 << 16, &["_pq_.x"])] {
        let mut login = begun(None);
        waits(&mut login, &words);
        logged_in(&mut login, &[&request(0, &[])[..], &settled()].concat());
    }
    assert_eq!(fails(&mut begun(None), &negotiate(4 << 16, &[])).reason, "upstream_protocol");
    let late = [&request(0, &[])[..], &negotiate(3 << 16, &[])].concat();
    assert_eq!(fails(&mut begun(None), &late).reason, "upstream_protocol");
    let cut = message(b'v', |out| out.put_slice(&[0, 3, 0, 0, 0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(fails(&mut begun(None), &cut).reason, "upstream_protocol");
}

#[test]
fn messages_out_of_turn_are_refused() {
    let key = |secret: &[u8]| {
        message(b'K', |out| {
            out.put_u32(1);
            out.put_slice(secret);
        })
    };
    let ok = request(0, &[]);
    let cases: [&[&[u8]]; 11] = [
        &[&settled()],
        &[&ok, &ok],
        &[&ok, &request(3, &[])],
        &[&ok, &key(&[1; 3])],
        &[&ok, &key(&[1; 257])],
        &[&ok, &ready(b'X')],
        &[&ok, &message(b'D', |_| ())],
        &[&request(0, &[1])],
        &[&request(11, b"r=")],
        &[&message(b'R', |_| ())],
        &[&[b'R', 0, 0, 0, 3]],
    ];
    for case in cases {
        let error = fails(&mut begun(Some("sesame")), &case.concat());
        assert_eq!(error.reason, "upstream_protocol", "{case:?}: {error:?}");
    }
    let mut idle = login(None, UpstreamTls::Off);
    assert_eq!(fails(&mut idle, &ok).reason, "upstream_protocol");
    let mut asked = begun(Some("sesame"));
    answer(&mut asked, &request(3, &[]));
    assert_eq!(fails(&mut asked, &request(3, &[])).reason, "upstream_protocol");
}

#[test]
fn a_long_cancel_key_is_kept_whole() {
    let key = message(b'K', |out| out.put_slice(&[1; 260]));
    let all = [&request(0, &[])[..], &key, &ready(b'I')].concat();
    assert_eq!(logged_in(&mut begun(None), &all).key.secret.expose().len(), 256);
    let without = [&request(0, &[])[..], &ready(b'I')].concat();
    assert!(logged_in(&mut begun(None), &without).key.secret.expose().is_empty());
}

#[test]
fn p8_a_talkative_server_is_cut_off() {
    let long = |length: usize| message(b'N', |out| out.put_slice(&vec![0; length - 4]));
    let mut login = begun(None);
    waits(&mut login, &long(LOGIN_MESSAGE_BYTES_MAX));
    let error = fails(&mut login, &long(LOGIN_MESSAGE_BYTES_MAX + 1));
    assert_eq!(error.reason, "upstream_protocol");

    let mut login = begun(None);
    let notice = long(1023);
    for _ in 0..1024 {
        waits(&mut login, &notice);
    }
    assert_eq!(fails(&mut login, &notice).detail, "more said at log-in than allowed");
}

#[test]
fn p7_nothing_printed_holds_the_password() {
    let mut login = begun(Some("sesame"));
    let steps = login.data(&request(3, &[])).unwrap();
    assert_eq!(format!("{steps:?}"), "[Send(12 bytes)]");
    let key = BackendKey { pid: 1, secret: Secret::new(b"key".to_vec()) };
    assert_eq!(format!("{key:?}"), "BackendKey { pid: 1, secret: *** }");
}

// ---- SCRAM --------------------------------------------------------------------------------------

fn scram_offer(mechanisms: &[&str]) -> Bytes {
    let mut list = BytesMut::new();
    mechanisms.iter().for_each(|mechanism| put_cstr(&mut list, mechanism.as_bytes()));
    list.put_u8(0);
    request(10, &list)
}

/// The server's half of RFC 5802 with SHA-256.
struct ScramServer {
    password: &'static str,
    binding: Vec<u8>,
    header: String,
    client_first: String,
    server_first: String,
}

impl ScramServer {
    fn new(password: &'static str, binding: &[u8]) -> Self {
        let empty = String::new;
        let binding = binding.to_vec();
        Self { password, binding, header: empty(), client_first: empty(), server_first: empty() }
    }

    /// Reads `SASLInitialResponse`, gives the mechanism chosen and `AuthenticationSASLContinue`.
    fn first(&mut self, sent: &[u8]) -> (String, Bytes) {
        let mut reader = Reader::new(&sent[5..], Side::Client);
        let mechanism = String::from_utf8(reader.cstr().unwrap().to_vec()).unwrap();
        let first = std::str::from_utf8(reader.value().unwrap().unwrap()).unwrap();
        let at = first.find("n=,").unwrap();
        self.header = first[..at].to_owned();
        self.client_first = first[at..].to_owned();
        let nonce = self.client_first.strip_prefix("n=,r=").unwrap();
        self.server_first = format!("r={nonce}server,s=c2FsdA==,i=4096");
        (mechanism, request(11, self.server_first.as_bytes()))
    }

    /// Reads `SASLResponse` and checks the proof; gives the server's own proof.
    fn last(&self, sent: &[u8]) -> Option<String> {
        let last = std::str::from_utf8(&sent[5..]).unwrap();
        let (without_proof, proof) = last.rsplit_once(",p=").unwrap();
        let bound = [self.header.as_bytes(), &self.binding].concat();
        let bound = base64(&bound);
        if !without_proof.starts_with(&format!("c={bound},r=")) {
            return None;
        }
        let message = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let mut salted = [0; 32];
        let rounds = 4096.try_into().unwrap();
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, b"salt", self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let client_key = sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, &client_key);
        let signature = sign(stored.as_ref(), message.as_bytes());
        let wanted: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if base64(&wanted) != proof {
            return None;
        }
        let own = sign(&sign(&salted, b"Server Key"), message.as_bytes());
        Some(format!("v={}", base64(&own)))
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |sum, at| sum << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

/// A whole exchange; the mechanism and the header the client chose.
fn scram(login: &mut Login, offer: &[&str], binding: &[u8]) -> (String, String) {
    let mut server = ScramServer::new("sesame", binding);
    let (mechanism, next) = server.first(&answer(login, &scram_offer(offer)));
    let proof = server.last(&answer(login, &next)).expect("the proof is right");
    let rest = [&request(12, proof.as_bytes())[..], &request(0, &[]), &settled()].concat();
    assert_eq!(logged_in(login, &rest).key.pid, 77);
    (mechanism, server.header)
}

/// A certificate as far as it is looked at, signed by ECDSA with SHA-384.
const CERTIFICATE: [u8; 18] =
    [0x30, 16, 0x30, 1, 9, 0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3, 0];

#[test]
fn scram_proves_both_sides() {
    let (mechanism, header) = scram(&mut begun(Some("sesame")), &["SCRAM-SHA-256"], &[]);
    assert_eq!((mechanism.as_str(), header.as_str()), ("SCRAM-SHA-256", "n,,"));
}

#[test]
fn scram_is_bound_to_the_servers_certificate_where_offered() {
    let hash = digest::digest(&digest::SHA384, &CERTIFICATE);
    let mut login = begun_inside_tls(Some("sesame"), Some(&CERTIFICATE));
    let offer = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
    let (mechanism, header) = scram(&mut login, &offer, hash.as_ref());
    assert_eq!(mechanism, "SCRAM-SHA-256-PLUS");
    assert_eq!(header, "p=tls-server-end-point,,");
}

#[test]
fn a_server_that_does_not_offer_binding_is_told_that_we_could() {
    let mut login = begun_inside_tls(Some("sesame"), Some(&CERTIFICATE));
    let (mechanism, header) = scram(&mut login, &["SCRAM-SHA-256"], &[]);
    assert_eq!((mechanism.as_str(), header.as_str()), ("SCRAM-SHA-256", "y,,"));
}

#[test]
fn without_a_defined_hash_there_is_no_binding() {
    let mut login = begun_inside_tls(Some("sesame"), Some(b"no certificate"));
    let offer = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
    let (mechanism, header) = scram(&mut login, &offer, &[]);
    assert_eq!((mechanism.as_str(), header.as_str()), ("SCRAM-SHA-256", "n,,"));
    let mut login = begun_inside_tls(Some("sesame"), None);
    assert_eq!(fails(&mut login, &scram_offer(&["SCRAM-SHA-256-PLUS"])).reason, "credential");
}

#[test]
fn binding_offered_in_clear_is_a_lie() {
    let offer = scram_offer(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]);
    assert_eq!(fails(&mut begun(Some("sesame")), &offer).reason, "upstream_protocol");
}

#[test]
fn a_server_that_does_not_know_the_password_is_refused() {
    let begin = || {
        let mut login = begun(Some("sesame"));
        let mut server = ScramServer::new("sesame", &[]);
        let (_, next) = server.first(&answer(&mut login, &scram_offer(&["SCRAM-SHA-256"])));
        let proof = server.last(&answer(&mut login, &next)).unwrap();
        (login, proof)
    };
    let (mut login, proof) = begin();
    let wrong = proof.replace("v=", "v=AAAA");
    assert_eq!(fails(&mut login, &request(12, wrong.as_bytes())).reason, "credential");
    let (mut login, _) = begin();
    assert_eq!(fails(&mut login, &request(12, b"e=other-error")).reason, "credential");
    // Letting us in without the proof.
    let (mut login, _) = begin();
    assert_eq!(fails(&mut login, &request(0, &[])).reason, "upstream_protocol");
    let mut login = begun(Some("sesame"));
    answer(&mut login, &scram_offer(&["SCRAM-SHA-256"]));
    assert_eq!(fails(&mut login, &request(0, &[])).reason, "upstream_protocol");
}

#[test]
fn p8_a_servers_iteration_count_is_bounded() {
    for first in ["i=100001", "i=4294967295", "i=-1", ""] {
        let mut login = begun(Some("sesame"));
        let mut server = ScramServer::new("sesame", &[]);
        server.first(&answer(&mut login, &scram_offer(&["SCRAM-SHA-256"])));
        let first = server.server_first.replace("i=4096", first);
        let error = fails(&mut login, &request(11, first.as_bytes()));
        assert_eq!(error.reason, "credential", "{first}");
    }
    let mut login = begun(Some("sesame"));
    answer(&mut login, &scram_offer(&["SCRAM-SHA-256"]));
    assert_eq!(fails(&mut login, &request(11, b"r=other,s=c2FsdA==,i=4096")).reason, "credential");
}
