//! A server that takes HTTP/1.1 by the letter (RFC 9112), keeps what it understood, and says what it
//! did not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// A request as it was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Method and target.
    pub line: String,
    /// Its fields, by lower-case name.
    pub fields: Vec<(String, String)>,
    /// Its body, without chunks.
    pub body: Vec<u8>,
}

/// Why bytes are no request, or only the beginning of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unread {
    /// More has to come.
    Short,
    /// Nothing that comes could make it one.
    Wrong(&'static str),
}

use Unread::{Short, Wrong};

/// The first request in these bytes, and how many are its own.
///
/// # Errors
/// There is none.
pub fn request(bytes: &[u8]) -> Result<(Request, usize), Unread> {
    let mut at = 0;
    let first = line(bytes, &mut at)?;
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else {
        return Err(Wrong("the request line is not method, target and HTTP/1.1"));
    };
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !method.bytes().all(is_token) || method.is_empty() || !visible(target) {
        return Err(Wrong("the request line holds what it must not"));
    }
    let fields = fields(bytes, &mut at)?;
    let all = |name: &str| -> Vec<&str> {
        let found = fields.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).collect()
    };
    if all("host").len() != 1 {
        return Err(Wrong("not one Host"));
    }
    let body = match (all("content-length").as_slice(), all("transfer-encoding").as_slice()) {
        ([], []) => Vec::new(),
        ([length], []) => {
            let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length.parse::<usize>().ok().filter(|_| digits);
            let length = length.ok_or(Wrong("Content-Length is no number"))?;
            let body = bytes.get(at..).unwrap_or_default().get(..length).ok_or(Short)?;
            at += length;
            body.to_vec()
        }
        ([], ["chunked"]) => chunks(bytes, &mut at)?,
        _ => return Err(Wrong("its length is said in two ways, or in an unknown one")),
    };
    let line = format!("{method} {target}");
    Ok((Request { line, fields, body }, at))
}

fn chunks(bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        let size = line(bytes, at)?;
        let hexadecimal =
            (1..=8).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = usize::from_str_radix(&size, 16).ok().filter(|_| hexadecimal);
        let size = size.ok_or(Wrong("the size of a chunk is no number, or has an extension"))?;
        if size == 0 {
            let after = fields(bytes, at)?;
            let framing = ["content-length", "transfer-encoding", "host"];
            if after.iter().any(|(name, _)| framing.contains(&name.as_str())) {
                return Err(Wrong("a field after the body says how long it is"));
            }
            return Ok(body);
        }
        body.extend(bytes.get(*at..).unwrap_or_default().get(..size).ok_or(Short)?);
        *at += size;
        if !line(bytes, at)?.is_empty() {
            return Err(Wrong("a chunk is longer than its size"));
        }
    }
}

/// Fields up to the empty line.
fn fields(bytes: &[u8], at: &mut usize) -> Result<Vec<(String, String)>, Unread> {
    let mut fields = Vec::new();
    loop {
        let line = line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or(Wrong("a field without a colon"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Wrong("the name of a field is none"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// A line that ends with CR LF and holds no other control character.
fn line(bytes: &[u8], at: &mut usize) -> Result<String, Unread> {
    let rest = bytes.get(*at..).unwrap_or_default();
    let end = rest.windows(2).position(|two| two == b"\r\n");
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let last = end.is_none() && line.ends_with(b"\r");
    let line = if last { line.get(..line.len() - 1).unwrap_or_default() } else { line };
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Wrong("a control character in a line"));
    }
    *at += end.ok_or(Short)? + 2;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the server received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Requests, in order.
    pub requests: Vec<Request>,
    /// Methods and targets of requests whose body broke off with their connection. A server does not
    /// act on such (RFC 9112 section 8).
    pub cut: Vec<String>,
    /// What was none, and why.
    pub wrong: Vec<(String, &'static str)>,
}

/// The server. Its answers name the target in `X-Echo`.
#[derive(Debug)]
pub struct Strict {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Strict {
    /// Starts it; it ends with the test.
    ///
    /// # Errors
    /// There is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let received = Arc::new(Mutex::new(Received::default()));
        let strict = Self { address: listener.local_addr()?, received: Arc::clone(&received) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&received);
                std::thread::spawn(move || serve(stream, &received));
            }
        });
        Ok(strict)
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came since this was asked last.
    #[must_use]
    pub fn take(&self) -> Received {
        std::mem::take(&mut *self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The method and the target of a whole head.
fn cut(bytes: &[u8]) -> Option<String> {
    memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let line = line(bytes, &mut 0).ok()?;
    line.strip_suffix(" HTTP/1.1").map(str::to_owned)
}

fn serve(mut stream: TcpStream, received: &Mutex<Received>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let edit = || received.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let wrong = |why| {
            let mut all = edit();
            let text = bytes.escape_ascii().to_string();
            all.wrong.push((text, why));
        };
        match request(&bytes) {
            Ok((request, used)) => {
                let target = request.line.split(' ').nth(1).unwrap_or_default();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nX-Echo: {target}\r\nContent-Length: 2\r\n\r\nok");
                let head = request.line.starts_with("HEAD ");
                let answer = if head { answer.trim_end_matches("ok") } else { &answer };
                edit().requests.push(request);
                bytes.drain(..used);
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
            Err(Wrong(why)) => return wrong(why),
            Err(Short) => {}
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) if bytes.is_empty() => return,
            Ok(0) | Err(_) => match cut(&bytes) {
                Some(line) => return edit().cut.push(line),
                None => return wrong("it breaks off before its body"),
            },
            Ok(count) => bytes.extend(buffer.get(..count).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_one_reading_is_a_request() {
        let good = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET";
        let (request, used) = super::request(good).expect("a request");
        assert_eq!((request.line.as_str(), &*request.body, used), ("POST /a", &b"ok"[..], 50));
        let good = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n";
        assert_eq!(super::request(good).expect("a request").0.body, b"a");
        assert_eq!(super::request(&good[..good.len() - 2]), Err(Short));
        for wrong in [
            "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\nHost: a\n\n",
            "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: a\0\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
            "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na",
            "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\na",
            "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        ] {
            assert!(matches!(super::request(wrong.as_bytes()), Err(Wrong(_))), "{wrong:?}");
        }
    }
}
