//! For this crate's tests: bytes from text, and a service that says what it is told to say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::encryption::KeyContext;
use crate::remote::RemoteOptions;

pub const CONTEXT: KeyContext<'_> = KeyContext { gateway: "gw-1", session: "s_0001" };

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Tries without pauses worth the name.
pub fn hasty(tries_max: u32) -> RemoteOptions {
    RemoteOptions {
        tries_max,
        pause: Duration::from_micros(1),
        pause_max: Duration::from_micros(1),
        ..RemoteOptions::default()
    }
}

/// A request as it came.
#[derive(Debug)]
pub struct Seen {
    pub line: String,
    /// In order, names small.
    pub fields: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(field, _)| field == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What a service does with one request.
pub enum Reply {
    Status(u16, String),
    /// Says nothing until the client gives up.
    Silence,
    /// Ends the connection in the middle of an answer.
    Cut,
}

/// A service on this machine that answers one request after another as told, one connection each,
/// and then none. Gives its address and the requests it saw.
pub fn service(replies: Vec<Reply>) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, seen) = channel();
    thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            tell.send(read(&mut BufReader::new(&stream))).unwrap();
            let answer = match reply {
                Reply::Status(status, body) => format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nlocation: /else\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                ),
                Reply::Silence => {
                    // Ends when the client closes.
                    drop(stream.read(&mut [0]));
                    continue;
                }
                Reply::Cut => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"da".to_owned(),
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, seen)
}

fn read(reader: &mut impl BufRead) -> Seen {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let line = lines.remove(0);
    let fields: Vec<(String, String)> = lines
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length").unwrap();
    let mut body = vec![0; length.1.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Seen { line, fields, body: String::from_utf8(body).unwrap() }
}
