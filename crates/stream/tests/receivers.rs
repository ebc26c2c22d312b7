//! Messages on the wire, taken by receivers that read exactly what the specifications have.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use model::limit::SYSLOG_MESSAGE_BYTES_MAX;
use model::{Event, Secret, Timestamp};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use stream::{Item, Otlp, SendError, SigningSecret, Sink as _, Syslog, Texts, Trust, Webhook};

const AT: Timestamp = Timestamp(1_795_313_820_123_456_789);

fn now() -> Timestamp {
    AT
}

fn item(number: u64, text: &str) -> Item {
    let event: Event = serde_json::from_value(json!({
        "v": 1, "at": AT.0, "gateway": "gw-1", "session": "s_1", "sequence": 2,
        "principal": "a\"b\\c]d\n", "resource": "appdb", "kind": "operation", "operation": 1,
        "step": "query", "text": text, "decision": "allow",
    }))
    .unwrap();
    Item::of(&event, number, Texts::Sent)
}

/// What RFC 5424, section 6 has, as far as we write it.
#[derive(Debug, PartialEq)]
struct Message {
    priority: u8,
    header: Vec<String>,
    data: Vec<(String, String)>,
    text: String,
}

/// One frame of RFC 6587, section 3.4.1: `MSG-LEN SP SYSLOG-MSG`.
fn frame(from: &mut impl Read) -> Option<String> {
    let mut length = String::new();
    let mut byte = [0];
    loop {
        if from.read(&mut byte).ok()? == 0 {
            assert_eq!(length, "", "a frame breaks off");
            return None;
        }
        match byte[0] {
            b' ' => break,
            digit => {
                assert!(digit.is_ascii_digit() && !(length.is_empty() && digit == b'0'));
                length.push(char::from(digit));
            }
        }
    }
    let mut message = vec![0; length.parse().unwrap()];
    from.read_exact(&mut message).unwrap();
    Some(String::from_utf8(message).unwrap())
}

fn message(text: &str) -> Message {
    let (priority, rest) = text.strip_prefix('<').unwrap().split_once('>').unwrap();
    let rest = rest.strip_prefix("1 ").expect("version 1");
    let mut words = rest.splitn(6, ' ');
    let header: Vec<String> = words.by_ref().take(5).map(str::to_owned).collect();
    for (word, most) in header[1..].iter().zip([255, 48, 128, 32]) {
        assert!((1..=most).contains(&word.len()), "{word}");
        assert!(word.bytes().all(|byte| (33..=126).contains(&byte)), "{word}");
    }
    let rest = words.next().unwrap();
    let mut letters = rest.strip_prefix("[narrows@32473").unwrap().chars();
    let mut data = Vec::new();
    while let Some(letter) = letters.next() {
        if letter == ']' {
            break;
        }
        assert_eq!(letter, ' ');
        let name: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
        assert_eq!(letters.next(), Some('"'));
        let mut value = String::new();
        loop {
            match letters.next().unwrap() {
                '"' => break,
                '\\' => value.push(letters.next().unwrap()),
                ']' => panic!("a bare ] in a value"),
                letter => value.push(letter),
            }
        }
        data.push((name, value));
    }
    let text = letters.as_str().strip_prefix(' ').unwrap().to_owned();
    Message { priority: priority.parse().unwrap(), header, data, text }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_message_is_one_of_rfc_5424_and_its_values_are_escaped() {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        std::iter::from_fn(|| frame(&mut socket)).collect::<Vec<_>>()
    });
    let mut syslog = Syslog::new("127.0.0.1", port, None).unwrap();
    syslog.send(&[item(1, "select 'é\n'"), item(2, &"x".repeat(20_000))]).unwrap();
    assert_eq!(syslog.check(), Ok(()));
    assert!(syslog.close(), "the server read everything and closed");
    let frames = server.join().unwrap();
    let [first, second] = frames.as_slice() else { panic!("{frames:?}") };
    let read = message(first);
    assert_eq!(read.priority, 13 * 8 + 6);
    let own = std::process::id().to_string();
    let header = ["2026-11-22T02:17:00.123456Z", "gw-1", "narrows", &own, "operation"];
    assert_eq!(read.header, header);
    let value = |name: &str| read.data.iter().find(|(of, _)| of == name).map(|(_, value)| &**value);
    assert_eq!(value("principal"), Some("a\"b\\c]d "));
    assert_eq!((value("number"), value("operation")), (Some("1"), Some("1")));
    let event: Value = serde_json::from_str(&read.text).unwrap();
    assert_eq!(event.get("text"), Some(&json!("select 'é\n'")));
    assert!(!read.text.contains('\n'));
    assert!(second.len() <= SYSLOG_MESSAGE_BYTES_MAX, "{}", second.len());
    let event: Value = serde_json::from_str(&message(second).text).unwrap();
    assert_eq!(event.get("left_out"), Some(&json!(["text"])));
}

#[test]
fn a_server_that_ends_is_noticed_before_anything_settles() {
    let (listener, port) = listener();
    let mut syslog = Syslog::new("127.0.0.1", port, None).unwrap();
    let server = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        frame(&mut socket).unwrap();
        // The second is not read: it is lost with this connection.
        socket
    });
    syslog.send(&[item(1, "a")]).unwrap();
    let socket = server.join().unwrap();
    syslog.send(&[item(2, "b")]).unwrap();
    assert_eq!(syslog.check(), Ok(()));
    drop(socket);
    let begun = Instant::now();
    while syslog.check().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was not noticed");
        thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(syslog.send(&[item(2, "b")]), Err(SendError::Away { .. })), "nobody listens");
    assert!(!syslog.close());
}

#[test]
fn a_server_that_closes_when_it_has_read_everything_is_noticed_too() {
    let (listener, port) = listener();
    let mut syslog = Syslog::new("127.0.0.1", port, None).unwrap();
    let server = thread::spawn(move || {
        for _ in 0..2 {
            frame(&mut listener.accept().unwrap().0).unwrap();
        }
    });
    syslog.send(&[item(1, "a")]).unwrap();
    let begun = Instant::now();
    while syslog.check().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it was not noticed");
        thread::sleep(Duration::from_millis(2));
    }
    syslog.send(&[item(2, "b")]).expect("a new connection");
    server.join().unwrap();
}

#[test]
fn inside_tls_the_server_is_who_it_says_it_is() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let (listener, port) = listener();
    let server = thread::spawn(move || -> Vec<Option<String>> {
        let one = |socket: TcpStream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            frame(&mut StreamOwned::new(connection, socket))
        };
        (0..3).map(|_| one(listener.accept().unwrap().0)).collect()
    });
    let trust = Trust { more: Some(made.cert.pem().into_bytes()) };
    let mut known = Syslog::new("localhost", port, Some(&trust)).unwrap();
    known.send(&[item(1, "a")]).unwrap();
    let mut unknown = Syslog::new("localhost", port, Some(&Trust::default())).unwrap();
    assert!(unknown.send(&[item(1, "a")]).is_err(), "nobody vouches for it");
    let mut another = Syslog::new("127.0.0.1", port, Some(&trust)).unwrap();
    assert!(another.send(&[item(1, "a")]).is_err(), "its certificate has another name");
    let got = server.join().unwrap();
    assert_eq!(message(got[0].as_ref().unwrap()).header[4], "operation");
    assert_eq!(got[1..], [None, None]);
    assert!(Syslog::new("a b", 1, Some(&trust)).is_err());
    let none = Trust { more: Some(b"nothing".to_vec()) };
    assert!(Syslog::new("localhost", 1, Some(&none)).is_err());
}

/// The head and the body of a request.
type Request = (Vec<String>, Vec<u8>);

/// Answers one request with `answer`, and gives what it got.
fn answering(answer: &'static str) -> (url::Url, thread::JoinHandle<Request>) {
    let (listener, port) = listener();
    let server = thread::spawn(move || {
        let socket = listener.accept().unwrap().0;
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        { &socket }.write_all(answer.as_bytes()).unwrap();
        (head, body)
    });
    (format!("http://127.0.0.1:{port}/base?key=1").parse().unwrap(), server)
}

#[test]
fn answers_are_told_apart() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 204 No\r\n\r\n", Ok(())),
        (
            "HTTP/1.1 413 No\r\ncontent-length: 8\r\n\r\ntoo long",
            Err(SendError::Refused("it answered 413: too long".to_owned())),
        ),
        (
            "HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            Err(SendError::Away {
                why: "it answered 429".to_owned(),
                pause: Some(Duration::from_secs(7)),
            }),
        ),
        (
            "HTTP/1.1 503 No\r\nretry-after: 99999\r\ncontent-length: 0\r\n\r\n",
            Err(SendError::Away {
                why: "it answered 503".to_owned(),
                pause: Some(Duration::from_secs(300)),
            }),
        ),
        (
            "HTTP/1.1 302 No\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            Err(SendError::Away { why: "it answered 302".to_owned(), pause: None }),
        ),
    ];
    for (answer, wanted) in cases {
        let (url, server) = answering(answer);
        let secret = SigningSecret::new(&Secret::new("s".repeat(24))).unwrap();
        let mut webhook = Webhook::new(&url, &Trust::default(), secret, now).unwrap();
        assert_eq!(webhook.send(&[item(4, "a"), item(5, "b")]), wanted, "{answer}");
        let (head, body) = server.join().unwrap();
        assert_eq!(head[0], "POST /base?key=1 HTTP/1.1");
        assert!(head.contains(&"webhook-id: gw-1_4-5".to_owned()), "{head:?}");
        assert!(head.contains(&"webhook-timestamp: 1795313820".to_owned()), "{head:?}");
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&body).unwrap().len(), 2);
    }
}

#[test]
fn otlp_takes_a_partial_success_for_an_answer_and_keeps_credentials_off_the_network() {
    let (url, server) = answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 71\r\n\r\n\
         {\"partialSuccess\":{\"rejectedLogRecords\":\"1\",\"errorMessage\":\"too old\"}} ",
    );
    let fields = [("Authorization".to_owned(), Secret::new("Bearer abc".to_owned()))];
    let mut otlp = Otlp::new(&url, &Trust::default(), &fields, now).unwrap();
    assert_eq!(otlp.send(&[item(4, "a")]), Ok(()));
    let (head, body) = server.join().unwrap();
    assert_eq!(head[0], "POST /base/v1/logs?key=1 HTTP/1.1");
    assert!(head.contains(&"authorization: Bearer abc".to_owned()), "{head:?}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    let record = body.pointer("/resourceLogs/0/scopeLogs/0/logRecords/0").unwrap();
    assert_eq!(record.get("timeUnixNano"), Some(&json!(AT.0.to_string())));
    let afar: url::Url = "http://otel.example:4318".parse().unwrap();
    assert!(Otlp::new(&afar, &Trust::default(), &fields, now).is_err());
    assert!(Otlp::new(&afar, &Trust::default(), &[], now).is_ok());
}
