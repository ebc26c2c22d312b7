use http::Method;
use model::exchange::{Door, Scheme};

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    map
}

fn request(fields: &[(&str, &str)]) -> Request {
    Request {
        door: Door::Forward,
        method: Method::POST,
        scheme: Scheme::Https,
        authority: "example.com".into(),
        target: "/".into(),
        version: Version::HTTP_11,
        fields: map(fields),
        body: Length::Unknown,
    }
}

fn reason(request: &Request) -> &'static str {
    check_head(request).map_or_else(|malformed| malformed.reason, |()| "fine")
}

const OWN: (&str, &str) = ("host", "example.com");

#[test]
fn heads_that_anyone_sends_pass() {
    let table: &[&[(&str, &str)]] = &[
        &[OWN],
        &[("host", "EXAMPLE.com:443")],
        &[OWN, ("content-length", "12")],
        &[OWN, ("transfer-encoding", "chunked"), ("te", "trailers"), ("trailer", "x-sum")],
        &[OWN, ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")],
        &[OWN, ("connection", "close"), ("expect", "100-Continue")],
        &[OWN, ("connection", "TE"), ("proxy-connection", "keep-alive")],
        &[OWN, ("x-a", "tab\tand é"), ("cookie", "a=b"), ("cookie", "c=d")],
        &[OWN, ("accept", "a"), ("accept", "b"), ("content_type", "x")],
        &[OWN, ("x-http-method-override", "post")],
    ];
    for fields in table {
        assert_eq!(reason(&request(fields)), "fine", "{fields:?}");
    }
}

#[test]
fn what_is_read_in_two_ways_is_refused() {
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[], "host_missing"),
        (&[OWN, OWN], "field_repeated"),
        (&[("host", "evil.test")], "host_differs"),
        (&[("host", "example.com:80")], "host_differs"),
        (&[("host", "example.com@evil.test")], "host_userinfo"),
        (&[("host", "")], "host_empty"),
        (&[("host", "é.test")], "host_differs"),
        (&[OWN, ("content-length", "1"), ("content-length", "1")], "field_repeated"),
        (&[OWN, ("content-length", "1"), ("content-length", "2")], "field_repeated"),
        (&[OWN, ("content-length", "1, 1")], "content_length"),
        (&[OWN, ("content-length", "+1")], "content_length"),
        (&[OWN, ("content-length", "-1")], "content_length"),
        (&[OWN, ("content-length", "0x1")], "content_length"),
        (&[OWN, ("content-length", "")], "content_length"),
        (&[OWN, ("content-length", "18446744073709551616")], "content_length"),
        (&[OWN, ("content-length", "1"), ("transfer-encoding", "chunked")], "length_and_encoding"),
        (&[OWN, ("transfer-encoding", "Chunked")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "chunked, identity")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "gzip, chunked")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "identity")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "xchunked")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "chunked;q=1")], "transfer_encoding"),
        (&[OWN, ("transfer-encoding", "chunked"), ("transfer-encoding", "x")], "field_repeated"),
        (&[OWN, ("content_length", "1")], "field_name"),
        (&[OWN, ("transfer_encoding", "chunked")], "field_name"),
        (&[OWN, ("content-type", "text/plain"), ("content-type", "a/b")], "field_repeated"),
        (&[OWN, ("authorization", "a"), ("authorization", "b")], "field_repeated"),
        (&[OWN, ("upgrade", "h2c"), ("connection", "upgrade")], "upgrade_h2c"),
        (&[OWN, ("upgrade", "websocket, H2C")], "upgrade_h2c"),
        (&[OWN, ("http2-settings", "AAMAAABk")], "upgrade_h2c"),
        (&[OWN, ("connection", "authorization")], "connection_nominates"),
        (&[OWN, ("connection", "close, Cookie")], "connection_nominates"),
        (&[OWN, ("connection", "host")], "connection_nominates"),
        (&[OWN, ("connection", "content-length")], "connection_nominates"),
        (
            &[OWN, ("connection", "close"), ("connection", "x-forwarded-for")],
            "connection_nominates",
        ),
        (&[OWN, ("x-a", " on")], "field_space"),
        (&[OWN, ("x-a", "on\t")], "field_space"),
        (&[OWN, ("x-a", " ")], "field_space"),
        (&[OWN, ("expect", "200-ok")], "expect"),
        (&[OWN, ("expect", "100-continue, x")], "expect"),
    ];
    for (fields, expected) in table {
        assert_eq!(reason(&request(fields)), *expected, "{fields:?}");
    }
}

#[test]
fn http2_says_its_host_in_the_target_or_in_a_field() {
    for (authority, fields, expected) in [
        ("example.com", &[][..], "fine"),
        ("example.com", &[OWN], "fine"),
        ("", &[], "host_missing"),
        ("user@example.com", &[], "host_userinfo"),
        ("user@example.com", &[("host", "user@example.com")], "host_userinfo"),
    ] {
        let head =
            Request { authority: authority.into(), version: Version::HTTP_2, ..request(fields) };
        assert_eq!(reason(&head), expected, "{authority} {fields:?}");
    }
}

#[test]
fn a_length_fits_the_body_and_the_version() {
    let mut head = request(&[OWN, ("content-length", "5")]);
    for (body, expected) in [
        (Length::Known(5), "fine"),
        (Length::Known(4), "content_length"),
        (Length::Empty, "content_length"),
        (Length::Unknown, "fine"),
    ] {
        head.body = body;
        assert_eq!(reason(&head), expected, "{body:?}");
    }
    let mut head = request(&[OWN, ("transfer-encoding", "chunked")]);
    for (version, expected) in [
        (Version::HTTP_10, "transfer_encoding"),
        (Version::HTTP_11, "fine"),
        (Version::HTTP_2, "transfer_encoding"),
    ] {
        head.version = version;
        assert_eq!(reason(&head), expected, "{version:?}");
    }
}

#[test]
fn http_2_has_no_fields_of_a_connection() {
    let table = [
        (("te", "trailers"), "fine"),
        (("te", "gzip"), "connection_http2"),
        (("connection", "close"), "connection_http2"),
        (("upgrade", "websocket"), "connection_http2"),
        (("keep-alive", "1"), "connection_http2"),
        (("proxy-connection", "close"), "connection_http2"),
    ];
    for (field, expected) in table {
        let mut head = request(&[field]);
        head.version = Version::HTTP_2;
        assert_eq!(reason(&head), expected, "{field:?}");
    }
}

#[test]
fn methods_are_words() {
    let long = "A".repeat(METHOD_BYTES_MAX);
    let longer = "A".repeat(METHOD_BYTES_MAX + 1);
    let table = [
        ("GET", "fine"),
        ("M-SEARCH", "fine"),
        ("PROPFIND", "fine"),
        (&long, "fine"),
        (&longer, "method"),
        ("get", "method"),
        ("Post", "method"),
        ("P0ST", "method"),
        ("4111111111111111", "method"),
        ("A_B", "method"),
    ];
    for (method, expected) in table {
        let mut head = request(&[OWN]);
        head.method = method.parse().expect("a token");
        assert_eq!(reason(&head), expected, "{method}");
    }
    for (method, name, other) in [
        (Method::GET, "x-http-method-override", "POST"),
        (Method::POST, "x-http-method-override", "DELETE"),
        (Method::POST, "x_http_method", "GET"),
        (Method::GET, "x-method_override", "POST"),
    ] {
        let mut head = request(&[OWN, (name, other)]);
        head.method = method;
        assert_eq!(reason(&head), "method_override", "{name}: {other}");
    }
}

#[test]
fn fields_are_bounded_in_number_and_size() {
    let fields = |count: usize| {
        let mut head = request(&[OWN]);
        for _ in 1..count {
            head.fields.append("x-a", HeaderValue::from_static("b"));
        }
        head
    };
    assert_eq!(reason(&fields(HTTP_FIELDS_MAX)), "fine");
    assert_eq!(reason(&fields(HTTP_FIELDS_MAX + 1)), "fields_many");
    let sized = |size: usize| {
        let mut head = request(&[OWN]);
        let value = "a".repeat(size - fields_size(&head.fields) - "x-a".len());
        head.fields.append("x-a", HeaderValue::from_str(&value).expect("a value"));
        head
    };
    assert_eq!(reason(&sized(HTTP_FIELDS_BYTES_MAX)), "fine");
    assert_eq!(reason(&sized(HTTP_FIELDS_BYTES_MAX + 1)), "fields_large");
}

#[test]
fn what_ends_at_a_hop_is_removed() {
    let mut fields = map(&[
        ("connection", "close, X-Own"),
        ("connection", "TE, trailer"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authenticate", "Basic"),
        ("te", "gzip;q=0.5, trailers"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("http2-settings", "x"),
        ("alt-svc", "h3=\":443\""),
        ("x-own", "gone"),
        ("x-other", "stays"),
        ("content-length", "3"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ]);
    let left = [
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("x-other", "stays"),
        ("content-length", "3"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ];
    let mut upgrade = fields.clone();
    strip_hop_by_hop(&mut fields, false);
    assert_eq!(fields, map(&left));
    strip_hop_by_hop(&mut upgrade, true);
    let kept = [("upgrade", "websocket"), ("connection", "Upgrade")];
    assert_eq!(upgrade, map(&[&left[..], &kept].concat()));

    let mut other = map(&[("upgrade", "tls/1.0"), ("connection", "upgrade"), ("te", "gzip")]);
    strip_hop_by_hop(&mut other, true);
    assert!(other.is_empty(), "{other:?}");
}
