//! The HTTP servers and the raw client that other tests stand on.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use e2e::web::{Answer, Authority, Origin, RawHttp, Trust};
use http::Version;

#[test]
fn an_origin_keeps_every_request_and_every_byte() -> Result<()> {
    let origin =
        Origin::clear(|seen| Answer::of("text/plain", seen.path().to_owned()).status(418))?;
    let sent =
        b"POST /a?b HTTP/1.1\r\nHost: a.test\r\nX-B: c\r\nTransfer-Encoding: chunked\r\n\r\n\
                 2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 3\r\n\r\n";
    let reply = RawHttp::to(origin.address()).send(&[sent.to_vec()])?;
    let (status, _, body, _) = reply.parts();
    assert_eq!((status, body.as_slice()), (418, b"/a?b".as_slice()));
    let seen = origin.seen().pop().context("a request")?;
    assert_eq!((&*seen.method, &*seen.target, &*seen.host), ("POST", "/a?b", "a.test"));
    assert_eq!((seen.version, seen.body, seen.complete), (Version::HTTP_11, "abc".into(), true));
    assert_eq!(seen.fields.get("x-b").context("the field")?, "c");
    assert_eq!(seen.trailers.context("trailers")?.get("x-sum").context("the field")?, "3");
    assert_eq!(origin.wires().pop().context("a connection")?.plain, sent);
    Ok(())
}

#[test]
fn what_is_no_http_is_kept_too_also_after_it_was_refused() -> Result<()> {
    let origin = Origin::clear(|_| Answer::of("text/plain", ""))?;
    let stages = [b"nonsense\r\n\r\n".to_vec(), b"and more".to_vec()];
    RawHttp::to(origin.address()).patience(Duration::from_millis(300)).send(&stages)?;
    e2e::until("the connection has ended", || Ok(origin.ended().then_some(())))?;
    assert_eq!(origin.wires().pop().context("a connection")?.plain, stages.concat());
    assert!(origin.seen().is_empty());
    Ok(())
}

#[test]
fn an_origin_with_a_certificate_serves_inside_tls_and_in_clear() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path())?;
    let origin = Origin::tls(authority.server(&["a.test"])?, |_| Answer::of("text/plain", "hi"))?;
    let request = [b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec()];
    let trust = || Trust::File(authority.path().to_path_buf());
    let to = || RawHttp::to(origin.address());
    assert_eq!(to().tls(Some("a.test"), trust()).send(&request)?.status(), 200);
    assert_eq!(to().tls(None, Trust::Anyone).send(&request)?.status(), 200);
    assert_eq!(to().send(&request)?.status(), 200);
    assert!(to().tls(Some("b.test"), trust()).send(&request).is_err(), "another name");
    let seen: Vec<_> = origin.seen().into_iter().map(|seen| (seen.tls, seen.server_name)).collect();
    assert_eq!(seen, [(true, Some("a.test".to_owned())), (true, None), (false, None)]);
    let wires = origin.wires();
    let first = wires.first().context("a connection")?;
    assert!(first.sealed.windows(6).any(|six| six == b"a.test"), "the hello is kept");
    assert_eq!(first.plain, request.concat());
    Ok(())
}

#[test]
fn an_answer_comes_in_pieces_with_trailers() -> Result<()> {
    let origin = Origin::clear(|_| {
        let mut answer = Answer::of("text/plain", "one ").field("x-many", "1");
        answer.body.push(Bytes::from("two"));
        answer.trailers.push(("x-sum".to_owned(), "7".to_owned()));
        answer.delay = Duration::from_millis(20);
        answer
    })?;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n".to_vec();
    let reply = RawHttp::to(origin.address()).send(&[request])?;
    let (status, fields, body, _) = reply.parts();
    assert_eq!((status, body.as_slice()), (200, b"one two".as_slice()));
    assert_eq!(reply.field("X-Many").as_deref(), Some("1"));
    assert!(fields.iter().all(|(name, _)| name != "content-length"));
    Ok(())
}
