//! The requests of the corpus in HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::web::raw::{Reply, answers};

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// Sends requests that are written as HTTP/1.1 one after the other on one HTTP/2 connection, and
/// gives the answers as HTTP/1.1 would have them.
///
/// `Host` becomes `:authority`, unless there is a line `:authority: …`, too; a line `~name: value`
/// is a trailer.
pub(crate) fn send(
    address: SocketAddr,
    tunnel: Option<&str>,
    (config, name): (ClientConfig, ServerName<'static>),
    requests: &[Vec<u8>],
    patience: Duration,
) -> Result<Reply> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let conversation = async {
        let mut stream = TcpStream::connect(address).await.context("connect")?;
        if let Some(head) = tunnel {
            stream.write_all(head.as_bytes()).await?;
            let mut granted = Reply::default();
            while answers(&granted.bytes, false).1 == 0 {
                let count = stream.read_buf(&mut granted.bytes).await?;
                ensure!(count > 0, "the tunnel ended with {:?}", granted.text());
            }
            if !(200..300).contains(&granted.status()) {
                return Ok(granted);
            }
        }
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, stream).await.context("TLS handshake")?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "HTTP/2 is not spoken");
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut reply = Reply::default();
        for request in requests {
            let answer = sender.send_request(parsed(request)?).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            let status = head.status;
            reply.bytes.extend(format!("HTTP/1.1 {status}\r\n").bytes());
            for (name, value) in &head.headers {
                let line = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat();
                reply.bytes.extend(line);
            }
            reply.bytes.extend(b"\r\n");
            reply.bytes.extend(body);
        }
        Ok(reply)
    };
    runtime.block_on(async {
        tokio::time::timeout(patience, conversation).await.context("an answer in time")?
    })
}

fn parsed(bytes: &[u8]) -> Result<Request<Body>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("a head")?;
    let (head, body) = (bytes.get(..end), bytes.get(end + 4..).unwrap_or_default());
    let head = String::from_utf8(head.unwrap_or_default().to_vec())?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().context("a method")?, words.next().context("a target")?);
    let (mut fields, mut trailers) = (HeaderMap::new(), HeaderMap::new());
    let mut authority = None;
    for line in lines {
        if let Some(written) = line.strip_prefix(":authority: ") {
            authority = Some(written.to_owned());
            continue;
        }
        let (map, line) = match line.strip_prefix('~') {
            Some(line) => (&mut trailers, line),
            None => (&mut fields, line),
        };
        let (name, value) = line.split_once(':').context("a field")?;
        map.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value.trim())?);
    }
    let authority = match authority {
        Some(authority) => authority,
        None => {
            let host = fields.remove("host").context("a host")?;
            host.to_str()?.to_owned()
        }
    };
    for name in ["connection", "transfer-encoding", "keep-alive", "upgrade"] {
        fields.remove(name);
    }
    let body = Full::new(Bytes::copy_from_slice(body));
    let body = match trailers.is_empty() {
        true => body.boxed(),
        false => body.with_trailers(async { Some(Ok(trailers)) }).boxed(),
    };
    let mut request = Request::new(body);
    *request.method_mut() = method.parse()?;
    *request.uri_mut() = format!("https://{authority}{target}").parse()?;
    *request.headers_mut() = fields;
    Ok(request)
}
