//! Requests that two readers cut in two ways, after the public lists of such: what stands between two
//! requests, or inside one that another reader takes for two.
//!
//! Every case has a number, which stands in its path; what it tries to smuggle has the path
//! `/smuggled-N` and every right that its client has but one: a rule refuses that path.

use crate::web::raw::credentials;

/// How requests have to look.
#[derive(Clone, Debug)]
pub enum Face {
    /// In front of this resource.
    Reverse(&'static str),
    /// As a proxy, for this host.
    Proxy(&'static str),
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is tried.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A client that may send everything but `/smuggled-N`.
#[derive(Clone, Debug)]
pub struct Client {
    /// The face.
    pub face: Face,
    /// Its token.
    pub token: String,
}

impl Client {
    /// The target of a path.
    #[must_use]
    pub fn target(&self, path: &str) -> String {
        match &self.face {
            Face::Reverse(resource) => format!("/r/{resource}{path}"),
            Face::Proxy(host) => format!("http://{host}{path}"),
        }
    }

    /// The host of its requests.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        match &self.face {
            Face::Reverse(_) => "gateway.test",
            Face::Proxy(host) => host,
        }
    }

    /// `Host` and the proof, each with its line's end.
    #[must_use]
    pub fn own(&self) -> String {
        let (name, value) = match self.face {
            Face::Reverse(_) => ("Authorization", format!("Bearer {}", self.token)),
            Face::Proxy(_) => ("Proxy-Authorization", credentials(&self.token)),
        };
        format!("Host: {}\r\n{name}: {value}\r\n", self.host())
    }

    /// A head without its last line's end.
    #[must_use]
    pub fn head(&self, method: &str, path: &str) -> String {
        format!("{method} {} HTTP/1.1\r\n{}", self.target(path), self.own())
    }

    /// A whole request without a body.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        format!("{}\r\n", self.head("GET", path))
    }
}

/// Every attempt, as this client makes it.
#[must_use]
pub fn attempts(client: &Client) -> Vec<Attempt> {
    let mut corpus = Corpus { client, all: Vec::new() };
    corpus.encodings();
    corpus.lengths();
    corpus.chunks();
    corpus.lines();
    corpus.fields();
    corpus.others();
    corpus.all
}

struct Corpus<'a> {
    client: &'a Client,
    all: Vec<Attempt>,
}

/// Bytes that some readers skip, and others do not.
const ODD: [u8; 15] = [0, 1, 4, 8, 9, 10, 11, 12, 13, 0x1f, 0x20, 0x7f, 0x85, 0xa0, 0xff];

impl Corpus<'_> {
    /// A head that ends with these fields, and what follows it.
    fn add(&mut self, name: &str, method: &str, fields: &[u8], rest: &dyn Fn(&str) -> Vec<u8>) {
        let number = self.all.len();
        let head = self.client.head(method, &format!("/case-{number}"));
        let smuggled = self.client.get(&format!("/smuggled-{number}"));
        let bytes = [head.as_bytes(), fields, b"\r\n\r\n", &rest(&smuggled)].concat();
        self.all.push(Attempt { name: name.to_owned(), bytes });
    }

    /// Bytes as they are; `{case}`, `{smuggled}`, `{own}` and `{host}` stand for what they say.
    fn raw(&mut self, name: &str, bytes: &[u8]) {
        let number = self.all.len();
        let client = self.client;
        let mut text = bytes.to_vec();
        for (mark, value) in [
            ("{case}", client.target(&format!("/case-{number}"))),
            ("{path}", format!("/case-{number}")),
            ("{get}", client.get(&format!("/smuggled-{number}"))),
            ("{smuggled}", client.target(&format!("/smuggled-{number}"))),
            ("{own}", client.own()),
            ("{host}", client.host().to_owned()),
        ] {
            while let Some(at) = memchr::memmem::find(&text, mark.as_bytes()) {
                text.splice(at..at + mark.len(), value.bytes());
            }
        }
        self.all.push(Attempt { name: name.to_owned(), bytes: text });
    }

    /// CL.TE, TE.CL and TE.TE: lengths beside encodings, plain and in disguise.
    fn encodings(&mut self) {
        let mut written: Vec<Vec<u8>> = [
            "Transfer-Encoding: chunked",
            "Transfer-Encoding:chunked",
            " Transfer-Encoding: chunked",
            "\tTransfer-Encoding: chunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding\t: chunked",
            "Transfer-Encoding:\tchunked",
            "Transfer-Encoding:  chunked ",
            "transfer-encoding: chunked",
            "TRANSFER-ENCODING: CHUNKED",
            "tRANSFER-eNCODING: cHuNkEd",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunkedx",
            "Transfer-Encoding: chunk",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: 'chunked'",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, cow",
            "Transfer-Encoding: , chunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: chunked;q=0",
            "Transfer-Encoding: chunked;a=b",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: ",
            "Transfer-Encoding: none",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding:\r\n chunked",
            "Transfer-Encoding:\r\n\tchunked",
            "Transfer-Encoding\r\n: chunked",
            "Transfer-\r\nEncoding: chunked",
            "Transfer-Encoding: chun\r\n ked",
            "X: x\nTransfer-Encoding: chunked",
            "X: x\rTransfer-Encoding: chunked",
            "X: x\r\n\rTransfer-Encoding: chunked",
            "X: x\r\r\nTransfer-Encoding: chunked",
            "X:\r\nTransfer-Encoding: chunked",
            "Transfer_Encoding: chunked",
            "Transfer Encoding: chunked",
            "Transfer.Encoding: chunked",
            "X-Transfer-Encoding: chunked",
            "Content-Encoding: chunked",
            "TE: chunked",
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
            "Connection: Content-Length\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTrailer: Content-Length",
            "Transfer\u{2010}Encoding: chunked",
        ]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
        for byte in ODD {
            for (before, after) in [
                ("Transfer-Encoding:", "chunked"),
                ("Transfer-Encoding", ": chunked"),
                ("Transfer-Encoding: chunked", ""),
                ("", "Transfer-Encoding: chunked"),
                ("Transfer-Enco", "ding: chunked"),
                ("Transfer-Encoding: chun", "ked"),
            ] {
                written.push([before.as_bytes(), &[byte], after.as_bytes()].concat());
            }
        }
        for field in written {
            let name = field.escape_ascii().to_string();
            // One reader ends at the chunk of no length, the other goes on to the length.
            let fields = [&field[..], b"\r\nContent-Length: {length}"].concat();
            let number = self.all.len();
            let smuggled = self.client.get(&format!("/smuggled-{number}"));
            let length = (5 + smuggled.len()).to_string();
            let at = memchr::memmem::find(&fields, b"{length}").unwrap_or(0);
            let mut fields = fields;
            fields.splice(at..at + 8, length.bytes());
            self.add(&format!("CL.TE {name}"), "POST", &fields, &|smuggled| {
                format!("0\r\n\r\n{smuggled}").into_bytes()
            });
            // One reader ends after the size of the first chunk, the other goes on to the last one.
            let fields = [b"Content-Length: 4\r\n", &field[..]].concat();
            self.add(&format!("TE.CL {name}"), "POST", &fields, &|smuggled| {
                format!("{:02x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()).into_bytes()
            });
        }
    }

    /// CL.CL, CL.0 and 0.CL: lengths with two readings, and bodies where there is none.
    fn lengths(&mut self) {
        for field in [
            "Content-Length: 0\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 0",
            "Content-Length: 0\r\nContent-Length: 0",
            "Content-Length: 0, 4",
            "Content-Length: 4, 0",
            "Content-Length: 0,0",
            "Content-Length: +0",
            "Content-Length: -0",
            "Content-Length: +4",
            "Content-Length: -4",
            "Content-Length: 0x0",
            "Content-Length: 0x4",
            "Content-Length: 00",
            "Content-Length: 0;4",
            "Content-Length: 0 4",
            "Content-Length: 0\t4",
            "Content-Length: 0_4",
            "Content-Length: 0.0",
            "Content-Length: 0e1",
            "Content-Length: \"0\"",
            "Content-Length: ",
            "Content-Length: x",
            "Content-Length:\r\n 0",
            "Content-Length: 0\r\n 4",
            "Content-Length : 0",
            "Content-Length\t: 0",
            " Content-Length: 0",
            "Content_Length: 4",
            "Content-Length: 18446744073709551616",
            "Content-Length: 18446744073709551620",
            "Content-Length: 4294967296",
            "Content-Length: 99999999999999999999999999",
            "Content-Length: 0\0",
            "Content-Length: \u{b}0",
            "Content-Length: 0\u{660}",
            "X: x\nContent-Length: 0",
            "X: x\rContent-Length: 0",
            "Content-Length: 0\nX: x",
            "Content-Length: 0\rX: x",
            "Connection: Content-Length\r\nContent-Length: 0",
            "X-Content-Length: 4",
            "Content-Length: 0\r\nContent-Range: bytes 0-3/4",
            "Content-Type: multipart/byteranges; boundary=x",
        ] {
            for method in ["POST", "GET", "OPTIONS"] {
                let name = format!("CL {method} {}", field.escape_default());
                self.add(&name, method, field.as_bytes(), &|smuggled| smuggled.as_bytes().to_vec());
            }
        }
        for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "TRACE"] {
            self.add(&format!("CL.0 {method}"), method, b"X: x", &|get| get.as_bytes().to_vec());
            let number = self.all.len();
            let length = self.client.get(&format!("/smuggled-{number}")).len();
            let field = format!("Content-Length: {length}");
            self.add(&format!("0.CL {method}"), method, field.as_bytes(), &|smuggled| {
                smuggled.as_bytes().to_vec()
            });
        }
    }

    /// Chunks with two readings.
    fn chunks(&mut self) {
        let field = b"Transfer-Encoding: chunked";
        for size in [
            "5;ext=1",
            "5;",
            "5 ;a=b",
            "5;a=\"\r\n\"",
            "5;a=\"x",
            "5;\nx",
            "5;\rx",
            "5;\r\n",
            "5;a\0b",
            " 5",
            "5 ",
            "\t5",
            "5\t",
            "+5",
            "-5",
            "0x5",
            "5h",
            "5.",
            "05",
            "00000005",
            "0000000000000005",
            "00000000000000005",
            "10000000000000005",
            "100000005",
            "ffffffffffffffff",
            "fffffffffffffffffffff5",
            "7fffffffffffffff",
            "5\n",
            "5\r",
            "5\r\r",
            "",
            "g",
            "5,5",
            "5 5",
            "\u{b}5",
            "5\u{c}",
            "\u{661}5",
            "5_0",
            "\"5\"",
            "5\0",
        ] {
            let name = format!("a chunk of size {}", size.escape_default());
            self.add(&name, "POST", field, &|smuggled| {
                format!("{size}\r\nhello\r\n0\r\n\r\n{smuggled}").into_bytes()
            });
        }
        for (name, body) in [
            ("ends with LF", "5\nhello\n0\n\n"),
            ("data ends with LF", "5\r\nhello\n0\r\n\r\n"),
            ("data ends with CR", "5\r\nhello\r0\r\n\r\n"),
            ("data does not end", "5\r\nhello0\r\n\r\n"),
            ("data is longer", "5\r\nhelloXX\r\n0\r\n\r\n"),
            ("data is shorter", "5\r\nhel\r\n0\r\n\r\n"),
            ("data ends with two bytes", "5\r\nhelloXX0\r\n\r\n"),
            ("the last with an extension", "5\r\nhello\r\n0;x\r\n\r\n"),
            ("the last of many digits", "5\r\nhello\r\n000\r\n\r\n"),
            ("the last ends with LF", "5\r\nhello\r\n0\n\n"),
            ("the last ends with CR", "5\r\nhello\r\n0\r\r"),
            ("the last and LF", "5\r\nhello\r\n0\r\n\n"),
            ("the last in another form", "5\r\nhello\r\n-0\r\n\r\n"),
            ("a length after the body", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
            ("an encoding after the body", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ("a host after the body", "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n"),
            ("a field that ends with LF after the body", "5\r\nhello\r\n0\r\nX: x\n\r\n"),
            ("a line without a colon after the body", "5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
            ("a space before the colon after the body", "5\r\nhello\r\n0\r\nX : x\r\n\r\n"),
            ("a folded field after the body", "5\r\nhello\r\n0\r\nX: x\r\n y\r\n\r\n"),
            ("NUL after the body", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
            ("an underscore after the body", "5\r\nhello\r\n0\r\nContent_Length: 5\r\n\r\n"),
        ] {
            self.add(&format!("chunks: {name}"), "POST", field, &|smuggled| {
                format!("{body}{smuggled}").into_bytes()
            });
        }
        self.add("chunks: a request as fields after the body", "POST", field, &|smuggled| {
            format!("5\r\nhello\r\n0\r\n{smuggled}").into_bytes()
        });
        self.add("chunks without an end", "POST", field, &|smuggled| {
            format!("5\r\nhello\r\n{smuggled}").into_bytes()
        });
    }

    /// Request lines with two readings.
    fn lines(&mut self) {
        for (name, bytes) in [
            ("two spaces", &b"GET  {case} HTTP/1.1\r\n{own}\r\n"[..]),
            ("a tab", b"GET\t{case}\tHTTP/1.1\r\n{own}\r\n"),
            ("a form feed", b"GET\x0c{case}\x0cHTTP/1.1\r\n{own}\r\n"),
            ("a space at the end", b"GET {case} HTTP/1.1 \r\n{own}\r\n"),
            ("a space at the start", b" GET {case} HTTP/1.1\r\n{own}\r\n"),
            ("an empty line first", b"\r\nGET {case} HTTP/1.1\r\n{own}\r\n"),
            ("empty lines first", b"\n\n\r\nGET {case} HTTP/1.1\r\n{own}\r\n"),
            ("CR first", b"\rGET {case} HTTP/1.1\r\n{own}\r\n"),
            ("NUL first", b"\0GET {case} HTTP/1.1\r\n{own}\r\n"),
            ("LF alone", b"GET {case} HTTP/1.1\n{own}\n"),
            ("CR alone", b"GET {case} HTTP/1.1\r{own}\r"),
            ("two versions", b"GET {case} HTTP/1.1 HTTP/1.1\r\n{own}\r\n"),
            ("a target with a request in it", b"GET {case}?a HTTP/1.1\r\nX: y HTTP/1.1\r\n{own}\r\n"),
            ("no version", b"GET {case}\r\n{own}\r\n{get}"),
            ("HTTP/0.9", b"GET {case} HTTP/0.9\r\n{own}\r\n{get}"),
            ("HTTP/1.0 that is kept", b"GET {case} HTTP/1.0\r\nConnection: keep-alive\r\n{own}\r\n{get}"),
            ("HTTP/1.0 with chunks", b"POST {case} HTTP/1.0\r\n{own}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{get}"),
            ("HTTP/1.2", b"GET {case} HTTP/1.2\r\n{own}\r\n{get}"),
            ("HTTP/2.0", b"GET {case} HTTP/2.0\r\n{own}\r\n{get}"),
            ("HTTP/1.10", b"GET {case} HTTP/1.10\r\n{own}\r\n{get}"),
            ("HTTP/01.1", b"GET {case} HTTP/01.1\r\n{own}\r\n{get}"),
            ("http/1.1", b"GET {case} http/1.1\r\n{own}\r\n{get}"),
            ("the preface of HTTP/2 later", b"GET {case} HTTP/1.1\r\n{own}\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{get}"),
            ("NUL in the target", b"GET {case}\0 HTTP/1.1\r\n{own}\r\n"),
            ("DEL in the target", b"GET {case}\x7f HTTP/1.1\r\n{own}\r\n"),
            ("a byte above ASCII in the target", b"GET {case}\xff HTTP/1.1\r\n{own}\r\n"),
            ("line ends in percent in the target", b"GET {case}%0d%0aX:%20y HTTP/1.1\r\n{own}\r\n"),
            ("a request in percent in the query", b"GET {case}?%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0a HTTP/1.1\r\n{own}\r\n"),
            ("a backslash in the target", b"GET {case}\\..\\smuggled HTTP/1.1\r\n{own}\r\n"),
            ("a fragment in the target", b"GET {case}#/smuggled HTTP/1.1\r\n{own}\r\n"),
            ("dots in the target", b"GET {case}/../smuggled-0 HTTP/1.1\r\n{own}\r\n"),
            ("dots in percent in the target", b"GET {case}/%2e%2e/smuggled-0 HTTP/1.1\r\n{own}\r\n"),
            ("a whole URL and another Host", b"GET http://evil.test{path} HTTP/1.1\r\n{own}\r\n"),
            ("a whole URL with a user", b"GET http://{host}@evil.test{path} HTTP/1.1\r\n{own}\r\n"),
            ("a URL of another scheme", b"GET ftp://{host}{path} HTTP/1.1\r\n{own}\r\n"),
            ("two slashes", b"GET //evil.test{path} HTTP/1.1\r\n{own}\r\n"),
            ("no target", b"GET HTTP/1.1\r\n{own}\r\n"),
            ("the server itself", b"OPTIONS * HTTP/1.1\r\n{own}\r\n{get}"),
            ("an authority as the target", b"GET {host}:80 HTTP/1.1\r\n{own}\r\n"),
            ("CONNECT with a body", b"CONNECT {host}:80 HTTP/1.1\r\n{own}Content-Length: 4\r\n\r\n{get}"),
            ("a method in lower case", b"get {case} HTTP/1.1\r\n{own}\r\n"),
            ("a method with a colon", b"GET: {case} HTTP/1.1\r\n{own}\r\n"),
            ("a method with NUL", b"GE\0T {case} HTTP/1.1\r\n{own}\r\n"),
            ("a method that another field changes", b"GET {case} HTTP/1.1\r\n{own}X-HTTP-Method-Override: POST\r\nContent-Length: 0\r\n\r\n{get}"),
        ] {
            self.raw(&format!("line: {name}"), bytes);
        }
    }

    /// Fields with two readings.
    fn fields(&mut self) {
        for (name, bytes) in [
            ("folded", &b"GET {case} HTTP/1.1\r\n{own}X: x\r\n y\r\n\r\n"[..]),
            ("folded first", b"GET {case} HTTP/1.1\r\n Host: evil.test\r\n{own}\r\n"),
            ("folded with a tab", b"GET {case} HTTP/1.1\r\n{own}X: x\r\n\ty\r\n\r\n"),
            ("no name", b"GET {case} HTTP/1.1\r\n{own}: x\r\n\r\n"),
            ("no colon", b"GET {case} HTTP/1.1\r\n{own}nonsense\r\n\r\n"),
            ("a space in the name", b"GET {case} HTTP/1.1\r\n{own}X Y: x\r\n\r\n"),
            ("NUL in the name", b"GET {case} HTTP/1.1\r\n{own}X\0: x\r\n\r\n"),
            ("NUL in the value", b"GET {case} HTTP/1.1\r\n{own}X: a\0b\r\n\r\n"),
            ("CR in the value", b"GET {case} HTTP/1.1\r\n{own}X: a\rb\r\n\r\n"),
            ("LF in the value", b"GET {case} HTTP/1.1\r\n{own}X: a\nb\r\n\r\n"),
            ("a request behind LF LF", b"GET {case} HTTP/1.1\r\n{own}X: a\n\n{get}"),
            ("a request behind CR CR", b"GET {case} HTTP/1.1\r\n{own}X: a\r\r{get}"),
            ("a request behind LF CR LF", b"GET {case} HTTP/1.1\r\n{own}X: a\n\r\n{get}"),
            ("a request behind CR LF LF", b"GET {case} HTTP/1.1\r\n{own}X: a\r\n\n{get}"),
            ("a request behind CR CR LF", b"GET {case} HTTP/1.1\r\n{own}X: a\r\r\n\r\n{get}"),
            ("a line of spaces", b"GET {case} HTTP/1.1\r\n{own}   \r\n\r\n{get}"),
            ("a line of tabs", b"GET {case} HTTP/1.1\r\n{own}\t\r\n\r\n{get}"),
            ("two Hosts", b"GET {case} HTTP/1.1\r\n{own}Host: evil.test\r\n\r\n"),
            ("the same Host twice", b"GET {case} HTTP/1.1\r\n{own}Host: {host}\r\n\r\n"),
            (
                "Host with a space before its colon",
                b"GET {case} HTTP/1.1\r\n{own}Host : evil.test\r\n\r\n",
            ),
            (
                "Host in a folded line",
                b"GET {case} HTTP/1.1\r\n{own}X: x\r\n Host: evil.test\r\n\r\n",
            ),
            (
                "Connection names what was judged",
                b"GET {case} HTTP/1.1\r\n{own}Connection: Host\r\n\r\n",
            ),
            (
                "Connection names a cookie",
                b"GET {case} HTTP/1.1\r\n{own}Connection: close, Cookie\r\nCookie: a=b\r\n\r\n",
            ),
            ("a byte above ASCII in the name", b"GET {case} HTTP/1.1\r\n{own}X\xe9: x\r\n\r\n"),
            (
                "bytes above ASCII in the value",
                b"GET {case} HTTP/1.1\r\n{own}X: \xe5\x98\x8d\xe5\x98\x8aY: y\r\n\r\n",
            ),
            (
                "a request in a value",
                b"GET {case} HTTP/1.1\r\n{own}X: GET {smuggled} HTTP/1.1\r\n\r\n",
            ),
        ] {
            self.raw(&format!("field: {name}"), bytes);
        }
    }

    /// Expectations, changes of protocol, and what ends too early.
    fn others(&mut self) {
        for field in [
            "Expect: 100-continue\r\nContent-Length: 4",
            "Expect: 100-Continue, x\r\nContent-Length: 4",
            "Expect: 100-continue\r\nContent-Length: 0",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked",
            "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 4",
            "Expect: x\r\nContent-Length: 4",
            "Expect:\r\n 100-continue\r\nContent-Length: 4",
            "Expect: y 100-continue\r\nContent-Length: 4",
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c\r\nConnection: Upgrade",
            "Upgrade: websocket, h2c\r\nConnection: Upgrade",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: nf6dB8Pb/BLinZ7UexUXHg==",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: nf6dB8Pb/BLinZ7UexUXHg==",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 4",
            "Upgrade: TLS/1.0\r\nConnection: Upgrade",
            "Upgrade: HTTP/2.0\r\nConnection: Upgrade",
            "Connection: close",
            "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=100",
            "Proxy-Connection: keep-alive",
            "Content-Length: 4\r\nConnection: close",
        ] {
            for method in ["GET", "POST"] {
                let name = format!("{method} {}", field.escape_default());
                self.add(&name, method, field.as_bytes(), &|smuggled| smuggled.as_bytes().to_vec());
            }
        }
        // What comes late comes never: the rest of the first would be the next request.
        for (name, field, rest) in [
            ("a body that stops", "Content-Length: 100000", "abc"),
            ("a body that never comes", "Content-Length: 60000", ""),
            ("a chunk that stops", "Transfer-Encoding: chunked", "ffff\r\nabc"),
            ("chunks that stop", "Transfer-Encoding: chunked", "3\r\nabc\r\n"),
            ("a size that stops", "Transfer-Encoding: chunked", "3"),
            ("fields after the body that stop", "Transfer-Encoding: chunked", "0\r\nX: "),
        ] {
            self.add(&format!("pause: {name}"), "POST", field.as_bytes(), &|_| rest.into());
        }
    }
}
