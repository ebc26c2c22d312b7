//! What a server says while the gateway logs in with its own credential.

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut as _, Bytes};
use model::{Side, UpstreamTls};
use testkit::conversation::Cuts;
use testkit::stage::PASSWORD;

use super::frames;
use super::notation::frame;
use super::session::{SECRET, play};
use super::survey::Stay;
use crate::bytes_of::{BytesOf, contains};

/// Iterations of an honest server here: few, so that there is time for many.
const ITERATIONS_MAX: u8 = 32;

/// Any bytes as a server's side of a log-in; or an honest server's SCRAM, with one of its messages
/// changed or not.
///
/// Whoever does not know the password is not believed, nobody is sent the password but a server
/// that may ask for it in clear, and the client is told nothing of what was said (P7).
pub fn login(data: &[u8]) {
    let mut input = BytesOf(data);
    match input.choice(3) {
        0 => of_bytes(input),
        1 => of_a_session(input),
        _ => scram(input),
    }
}

/// Whether the gateway believed it was let in: it asks its first question.
fn let_in(sent: &[Bytes]) -> bool {
    sent.iter().any(|bytes| bytes.first() == Some(&b'Q'))
}

/// Anything, with TLS or without.
fn of_bytes(mut input: BytesOf<'_>) {
    let flags = input.byte();
    let tls = if flags & 1 == 0 { UpstreamTls::Off } else { UpstreamTls::VerifyFull };
    let mut stay = Stay::new(tls);
    if tls != UpstreamTls::Off && flags & 2 == 0 {
        stay.hear(b"S");
    }
    let mut methods = Vec::new();
    let mut heard = Vec::new();
    for piece in input.pieces() {
        let before = stay.tls_started;
        stay.hear(piece);
        // What agrees to TLS is no message.
        if stay.tls_started == before {
            heard.extend_from_slice(piece);
        }
    }
    for (tag, body) in frames(&heard) {
        if tag == b'R' && body.len() >= 4 {
            methods.push(i32::from_be_bytes([body[0], body[1], body[2], body[3]]));
        }
    }
    let told = stay.sent.iter().any(|bytes| contains(bytes, PASSWORD.as_bytes()));
    let private = stay.tls_started || tls == UpstreamTls::Off;
    assert!(!told || private && methods.contains(&3), "the password is told");
    // Without the password nobody can end an exchange that began with SCRAM.
    assert!(
        methods.first() != Some(&10) || !let_in(&stay.sent),
        "a server without proof is believed"
    );
}

/// Anything, to a client's own session.
fn of_a_session(input: BytesOf<'_>) {
    let script = "client >> start user=agent database=appdb\nclient >> p token";
    let mut play = play(&["rule hide mask ssn"], script, Cuts::Whole);
    let before = play.to_client.len();
    for piece in input.pieces() {
        play.send(Side::Upstream, piece);
    }
    for (tag, body) in frames(&play.to_client[before..]) {
        let told = contains(&body, PASSWORD.as_bytes());
        assert!(!told, "the client is told the gateway's own password");
        // Settings are the session's; words are not.
        assert!(tag != b'E' || !contains(&body, SECRET), "the client is told the server's words");
    }
    play.close(Side::Upstream);
    assert!(play.stage.closed, "a session outlives its server");
}

/// An honest server; one byte of what it says may be changed.
fn scram(mut input: BytesOf<'_>) {
    let message = input.choice(4);
    let place = usize::from(input.byte());
    let change = input.byte();
    let iterations = u32::from(input.byte() % ITERATIONS_MAX) + 1;
    let salt = input.take(16).to_vec();
    let nonce: String = input.0.iter().take(64).map(|byte| char::from(b'a' + byte % 26)).collect();
    let tamper = |number: usize, mut text: Vec<u8>| {
        if number == message && !text.is_empty() {
            let at = place % text.len();
            text[at] ^= change;
        }
        text
    };
    let mut stay = Stay::new(UpstreamTls::Off);
    let offer = tamper(0, b"SCRAM-SHA-256\0\0".to_vec());
    stay.hear(&request(10, &offer));
    let changed = change != 0 && message < 3;
    let Some(opening) = stay.last_message() else {
        assert!(changed && message == 0, "an honest offer is not taken");
        return;
    };
    let at = opening.windows(3).position(|part| part == b"n,,").expect("no channel binding");
    let client_first = String::from_utf8(opening[at + 3..].to_vec()).expect("text");
    let client_nonce = client_first.split_once("r=").expect("a nonce").1;
    let server_first =
        format!("r={client_nonce}{nonce},s={},i={iterations}", BASE64.encode(&salt)).into_bytes();
    let said = tamper(1, server_first.clone());
    let before = stay.sent.len();
    stay.hear(&request(11, &said));
    if stay.sent.len() == before {
        assert!(changed || nonce.is_empty() || salt.is_empty(), "an honest challenge is refused");
        return;
    }
    let proof = String::from_utf8(stay.last_message().expect("a proof")).expect("text");
    let (without_proof, _) = proof.rsplit_once(",p=").expect("a proof");
    let exchange =
        format!("{client_first},{},{without_proof}", String::from_utf8_lossy(&server_first));
    let server_final = format!("v={}", BASE64.encode(signature(&salt, iterations, &exchange)));
    stay.hear(&request(12, &tamper(2, server_final.into_bytes())));
    stay.hear(&request(0, b""));
    stay.hear(&frame(b'Z', b"I"));
    // A change that a decoder does not look at (the spare bits of base64) changes nothing.
    let believed = let_in(&stay.sent);
    assert!(changed || believed, "an honest server is not believed");
    assert!(
        message != 1 || change == 0 || !believed,
        "another challenge than was signed is believed"
    );
}

fn signature(salt: &[u8], iterations: u32, exchange: &str) -> Vec<u8> {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let rounds = iterations.try_into().expect("at least one");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, PASSWORD.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let server_key = sign(&salted, b"Server Key");
    sign(server_key.as_ref(), exchange.as_bytes()).as_ref().to_vec()
}

fn request(code: u32, rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u32(code);
    body.extend_from_slice(rest);
    frame(b'R', &body)
}
