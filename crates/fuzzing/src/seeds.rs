//! Small, real inputs to begin with, made from the conversations, statements and configurations
//! that the tests use. `fuzz/seeds/TARGET/NAME` holds them; what a fuzzer found stands beside them.

use model::Side;
use testkit::conversation::{Cuts, Play};

use crate::config::DIVIDER;
use crate::journal;
use crate::jwt;
use crate::postgres::notation::{Postgres, scene};

/// An input to begin with.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target.
    pub target: &'static str,
    /// Its name.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

macro_rules! conversations {
    ($($name:literal),* $(,)?) => {
        &[$((
            $name,
            include_str!(concat!("../../../protocols/postgres/testdata/", $name, ".snap")),
        )),*]
    };
}

/// Conversations whose clients say something of each kind.
const CLIENTS: &[(&str, &str)] = conversations![
    "a_cancel_request_names_its_session",
    "copy_in_sends_its_data_with_the_operation",
    "login_in_protocol_3_2_is_negotiated",
    "r20_a_function_call_is_refused",
    "r4_fetch_from_an_open_cursor_is_sent_alone",
    "r9_a_prepared_statement_is_judged_at_every_bind",
    "several_statements_in_one_query",
    "tls_and_gss_are_declined_when_they_cannot_be_had",
];
/// Conversations whose replies hold something of each kind.
const SERVERS: &[(&str, &str)] = conversations![
    "a_notice_a_notification_and_a_setting_pass",
    "copy_out_is_masked",
    "p3_masks_in_text_and_binary",
    "p3_notices_errors_and_notifications_are_scrubbed_for_who_has_masks",
    "several_queries_ahead_keep_their_order",
];
const GOLDEN: &str = include_str!("../../../protocols/sql/testdata/golden.txt");
/// One golden statement in so many is a seed.
const GOLDEN_STEP: usize = 40;

/// Every seed that is made.
#[must_use]
pub fn all() -> Vec<Seed> {
    let mut all = Vec::new();
    let mut seed = |target: &'static str, name: &str, bytes: &[u8]| {
        all.push(Seed { target, name: name.to_owned(), bytes: bytes.to_vec() });
    };
    texts(&mut seed);
    journals(&mut seed);
    conversations(&mut seed);
    values(&mut seed);
    logins(&mut seed);
    statements(&mut seed);
    seed("saml", "answer", crate::saml::ANSWER);
    seed("saml", "metadata", crate::saml::METADATA);
    tokens(&mut seed);
    all
}

/// What TLS clients say first: with a name, without one, in two records, and with what hides it.
fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    let message = |extensions: &[u8]| {
        let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
        let begin = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
        let body = [begin, sized(extensions)].concat();
        [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat()
    };
    let record =
        |piece: &[u8]| [&[22, 3, 1][..], &(piece.len() as u16).to_be_bytes(), piece].concat();
    let named = b"\0\0\0\x0b\0\x09\0\0\x06a.test";
    let hidden = b"\xfe\x0d\0\x01x";
    let whole = message(named);
    let (one, two) = whole.split_at(40);
    vec![
        ("named", record(&whole)),
        ("unnamed", record(&message(b""))),
        ("two_records", [record(one), record(two)].concat()),
        ("hidden", record(&message(&[&named[..], hidden].concat()))),
        ("no_tls", b"GET / HTTP/1.1\r\n".to_vec()),
    ]
}

/// Tokens of an issuer, good ones and such as attackers make.
fn tokens(seed: Add<'_>) {
    let claims =
        r#"{"iss":"https://idp.example","aud":["narrows"],"sub":"robot","exp":1767229200,"#;
    let good = format!("{claims}\"iat\":1767225600,\"realm\":{{\"groups\":[\"agents\"]}}}}");
    let acting = format!("{claims}\"act\":{{\"sub\":\"helper\",\"act\":{{\"sub\":\"before\"}}}}}}");
    let dates = format!("{claims}\"nbf\":1767225599.5,\"iat\":1e9,\"cnf\":null}}");
    let svid = r#"{"sub":"spiffe://acme.example/ci","aud":"narrows","exp":1767229200}"#;
    let of = |header: &[u8], claims: &str| jwt::token(header, claims.as_bytes());
    let whole = of(jwt::HEADER, &good);
    let signature = whole.rsplit_once('.').map_or("", |(_, signature)| signature);
    let none = of(br#"{"alg":"none","typ":"at+jwt"}"#, &good);
    let unsigned = none.rsplit_once('.').map_or("", |(signed, _)| signed);
    for (name, bytes) in [
        ("good", whole.clone()),
        ("none", format!("{unsigned}.")),
        ("none_signed", format!("{unsigned}.{signature}")),
        ("hmac", of(br#"{"alg":"HS256","typ":"JWT","kid":"k"}"#, &good)),
        ("jwk_inside", of(br#"{"alg":"EdDSA","jwk":{"kty":"OKP"},"kid":"../k"}"#, &good)),
    ] {
        seed("jwt", name, &[&[0], bytes.as_bytes()].concat());
    }
    for (name, text) in [("claims", &good), ("acting", &acting), ("dates", &dates)] {
        seed("jwt", name, &[&[1], text.as_bytes()].concat());
    }
    seed("jwt", "svid", &[&[0x81], svid.as_bytes()].concat());
    let both = [jwt::HEADER, &[0], good.as_bytes()].concat();
    seed("jwt", "header", &[&[2], &both[..]].concat());
    let rsa = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k"},{"kty":"oct","k":"AA"}]}"#;
    for (name, keys) in [("keys", jwt::keys()), ("other_keys", rsa.to_owned())] {
        seed("jwt", name, &[&[3], keys.as_bytes()].concat());
    }
}

type Add<'a> = &'a mut dyn FnMut(&'static str, &str, &[u8]);

fn texts(seed: Add<'_>) {
    let sample = narrows::config::sample::SAMPLE;
    let testdata = [
        ("sample", sample.to_owned()),
        ("mistakes", include_str!("../../narrows/src/config/testdata/mistakes.yaml").to_owned()),
        ("design", include_str!("../../narrows/src/config/testdata/design.yaml").to_owned()),
        ("folder_of_rules", {
            let (head, rules) = sample.split_once("rules:\n").expect("the sample has rules");
            let divider = String::from_utf8_lossy(DIVIDER);
            format!("{head}rules: ./rules{divider}{rules}")
        }),
    ];
    for (name, text) in testdata {
        seed("config", name, text.as_bytes());
    }
    let found = [
        ("numbers", "card 4111 1111 1111 1111, SSN 123-45-6789, call +1 (212) 555-0123"),
        ("addresses", "ann@example.com, Ann%40example.org, DE89 3704 0044 0532 0130 00"),
        (
            "secrets",
            "AKIAIOSFODNN7EXAMPLE aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        ("token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"),
        ("wide", "４１１１　１１１１ 1111-1111 \u{200b}123\u{a0}45\u{a0}6789"),
    ];
    for (name, text) in found {
        seed("detect", name, text.as_bytes());
    }
    let heads = [
        ("ordinary", "Example.com:443\n/a/b.c?d=%41\nPOST\nhost:example.com\ncontent-length:1"),
        ("rewritten", "bücher.example.\n/a/./%2e%2E//%7e;\nGET\nconnection:close, x-a\nx-a:b"),
        ("address", "0251.0376.0251.0376\n/..%2f\nGET\nhost:169.254.169.254\nexpect:x"),
        ("six", "[::ffff:a9fe:a9fe]:80\n*\nOPTIONS\nte:gzip, trailers\nupgrade:h2c, websocket"),
        (
            "storage",
            "ours.s3.eu-west-1.amazonaws.com\n/a?X-Amz-Credential=K%2Fs3\nPUT\n\
             authorization:AWS4-HMAC-SHA256 Credential=K/d/r/s3/aws4_request",
        ),
        ("copy", "storage.googleapis.com\n/storage/v1/b/a/o/x/rewriteTo/b/c/o/y\nPOST"),
    ];
    for (name, text) in heads {
        seed("http_canonical", name, text.as_bytes());
    }
    for (name, text) in hellos() {
        seed("http_hello", name, &text);
    }
    let bodies: [(&str, [u8; 3], &str); 9] = [
        (
            "json",
            [0, 0, 3],
            r#"{"a":[1,{"ssn":"1\u0031","x":"{\"ssn\":2}"}],"\u0073sn":{"k":true}}"#,
        ),
        ("lines", [1, 0, 5], "{\"ssn\":1}\n[2]\r\n\u{1e}{\"a\":null}\n"),
        ("events", [2, 0, 4], ": c\nid: 1\ndata: {\"ssn\":\ndata: 1}\r\n\ndata: [DONE]\n\n"),
        ("form", [3, 0, 2], "a=1&s%73n=12+3&ssn&b=%zz"),
        (
            "parts",
            [4, 0, 7],
            "--b\r\nContent-Disposition: form-data; name=\"ssn\"\r\n\r\n1\r\n\
             --b\r\nContent-Type: application/json\r\n\r\n{\"ssn\":1}\r\n--b--\r\n",
        ),
        (
            "xml",
            [5, 0, 6],
            "<?xml version=\"1.0\"?><a ssn='1'><n:ssn>2<b/>&#x33;</n:ssn><![CDATA[4]]></a>",
        ),
        ("table", [6, 0, 3], "a,ssn\n\"x\"\"y\",\"1\n2\"\n,3\n"),
        ("text", [7, 0, 9], "card 4111 1111 1111 1111, -----BEGIN PRIVATE KEY-----\nx"),
        ("not_gzip", [0, 1, 1], "\u{1f}\u{8b}{}"),
    ];
    for (name, head, text) in bodies {
        seed("http_body", name, &[&head[..], text.as_bytes()].concat());
    }
    let rules: [(&str, u8, &str); 8] = [
        ("cannot_be_judged", 0, "10 / (result.rows - 1) > 100"),
        ("rows", 0, "result.rows > 10000 || principal.rows > 50000"),
        ("dynamic", 1, r#"sql.dynamic || sql.verbs.exists(v, v in ["drop", "truncate"])"#),
        ("unfiltered", 1, r#"sql.unfiltered.exists(v, v in ["delete", "update", "merge"])"#),
        ("touches", 0, r#"touches("public.n*") && !in_group("dba")"#),
        ("columns", 2, r#"size(sql.columns) > 2 || sql.verb.matches("^(in|up)")"#),
        ("ternary", 2, r#"result.rows == 1 ? sql.verb != "select" : true"#),
        ("message", 0, "no {{ sql.verb }} of {{principal.subject}} here"),
    ];
    for (name, kind, text) in rules {
        seed("rules", name, &[&[kind], text.as_bytes()].concat());
    }
}

fn journals(seed: Add<'_>) {
    // Kind 0: changes of three bytes each; kind 1: a whole file; kind 2: a header and records.
    seed("journal", "a_change", &[0, 1, 0, 0, 2, 255]);
    seed("journal", "a_torn_end", &[0, 1, 33]);
    seed("journal", "both_headers_changed", &[0, 0, 0, 20, 0, 1, 148, 0, 1]);
    seed("journal", "nothing", &[1, 1]);
    seed("journal", "ordinary", &[2, 1, 0, 5, 1, 5, 0, 9, 1, 5, 0, 0, 4, b'l', b'o', b'a', b'd']);
    for (name, near) in [("the_last_number", 0), ("nearly_the_last", 2)] {
        for (what, segment, sequence) in [("segment", 1, 5), ("sequence", 5, 1)] {
            let numbers = [2, 1, near, segment, near, sequence, 0, 9, near, segment, 0];
            let records = [0, 0, 0, 5, 0, 5, 0, 0, 0, 5, 0, 5];
            seed("journal", &format!("{name}_{what}"), &[&numbers[..], &records].concat());
        }
    }
    for (what, form) in [("short", journal::Form::Clear), ("sealed", journal::Form::Sealed)] {
        let segment = journal::good(form);
        let file = [&[1, 1], &segment[..segment.len().min(700)]].concat();
        seed("journal", &format!("a_{what}_file"), &file);
    }
    // The second byte: 2 seals, 4 makes the check of the key another, 8 leaves every second record
    // unsealed.
    seed("journal", "a_sealed_change", &[0, 3, 0, 0, 2, 255]);
    seed("journal", "a_sealed_torn_end", &[0, 3, 33]);
    for (what, flags) in [("ordinary", 3), ("of_another_key", 7), ("with_clear_records", 11)] {
        let numbers = [2, flags, 0, 5, 1, 5, 0, 9, 1, 5, 0, 0, 4, b'l', b'o', b'a', b'd'];
        let more = [1, 9, 4, b'x', b'x', b'x', b'x'];
        seed("journal", &format!("sealed_{what}"), &[&numbers[..], &more].concat());
    }
}

/// The bytes that a side of a conversation says, log-in and all.
fn said(script: &str, side: Side) -> Vec<u8> {
    let who = if side == Side::Client { "client >> " } else { "server >> " };
    let mut play = Play::of(scene(), Postgres::default(), "", Cuts::Whole);
    let lines = script.lines().filter_map(|line| line.strip_prefix(who));
    let said = lines.filter(|line| *line != "close");
    said.flat_map(|line| play.encode(side, line).expect("the notation")).collect()
}

fn conversations(seed: Add<'_>) {
    for (name, script) in CLIENTS {
        // Kind 0: behind a log-in; kind 1: from the first byte. Then the length of a piece.
        let kind = u8::from(!script.lines().any(|line| line == "login"));
        seed("postgres_client", name, &[&[kind, 255], &said(script, Side::Client)[..]].concat());
    }
    for (name, script) in SERVERS {
        let reply = said(script, Side::Upstream);
        seed("postgres_render", name, &reply);
        seed("postgres_upstream", name, &[&[1, 255], &reply[..]].concat());
    }
    let secret = [
        (1, "row", r#"T ssn:customers.ssn ; D "123-45-6789" ; C "SELECT 1" ; Z I"#),
        (2, "portal", r#"1 ; t ; T ssn:customers.ssn ; 2 ; D "123-45-6789" ; C "SELECT 1" ; Z I"#),
        (1, "error", r#"E 22P02 "bad value 123-45-6789" D "it is 123-45-6789" ; Z I"#),
        (1, "notice", r#"N 00000 "saw 123-45-6789" ; A "jobs" "123-45-6789""#),
        (7, "fetch", r#"T ssn:customers.ssn ; D "123-45-6789" ; C "FETCH 1" ; Z T"#),
        (
            4,
            "batch",
            r#"2 ; T ssn:customers.ssn:binary name:customers.name:binary ;
             D "123-45-6789" "123-45-6789" ; s ; Z I"#,
        ),
    ];
    let mut notation = Play::of(scene(), Postgres::default(), "", Cuts::Whole);
    for (asked, name, line) in secret {
        let bytes = notation.encode(Side::Upstream, line).expect("the notation");
        seed("postgres_upstream", &format!("secret_{name}"), &[&[asked, 255], &bytes[..]].concat());
    }
}

fn values(seed: Add<'_>) {
    // Mask, type, flags (1 binary, 2 extended), declared length, then values behind their lengths.
    let plain: [u8; 4] = [255, 255, 255, 255];
    type Row = (&'static str, [u8; 3], [u8; 4], &'static [u8]);
    let rows: [Row; 9] = [
        ("text", [0, 0, 0], plain, b"123-45-6789 secret"),
        ("varchar_partial", [2, 1, 2], [0, 0, 0, 24], b"4111 1111 1111 1111"),
        ("bpchar_hash", [1, 2, 0], [0, 0, 0, 44], b"a padded value      "),
        ("bytea", [1, 5, 0], plain, b"\\x0102030405060708090a0b0c0d0e0f10"),
        ("uuid_binary", [1, 6, 3], plain, b"0123456789abcdef"),
        ("int8_binary", [4, 7, 3], plain, b"\x01\x02\x03\x04\x05\x06\x07\x08"),
        ("numeric_text", [1, 8, 0], plain, b"1234567890.1234567890"),
        ("numeric_binary", [1, 8, 3], plain, b"\0\x02\0\x01\0\0\0\x04\x04\xd2\x16\x2e"),
        ("array", [0, 27, 2], plain, b"{\"a value\",NULL,another}"),
    ];
    for (name, head, type_mod, value) in rows {
        let length = [u8::try_from(value.len()).expect("a short value")];
        let pair = [&length[..], value, &length[..], value, &[255, 0]].concat();
        seed("postgres_rows", name, &[&head[..], &type_mod, &pair].concat());
        let copied = if head[2] & 1 == 0 { [0, 2] } else { [5, 5] };
        for format in copied {
            // Format, mask, type, made of values, length of a piece.
            let head = [format, head[0], head[1], 0, 7];
            let name = format!("{name}_{format}");
            seed("postgres_copy", &name, &[&head[..], &pair].concat());
            if copied[0] == copied[1] {
                break;
            }
        }
    }
    // Format, mask, type, any bytes, length of a piece.
    for (name, format, bytes) in [
        ("any_text", 0, &b"123-45-6789\n\\N\n\\\\123-45-6789\\n\n\\.\n"[..]),
        ("any_csv", 2, b"\"123-45-6789\"\n\n\"a\"\"b\"\n"),
        ("any_binary", 5, b"\0\x01\0\0\0\x0b123-45-6789\0\x01\xff\xff\xff\xff\xff\xff"),
    ] {
        seed("postgres_copy", name, &[&[format, 0, 0, 1, 9], bytes].concat());
    }
}

/// What a server answers to each question of a survey.
const SURVEY: &str = "\
shop
public
;
170002|app_user|f|900:905:901
;
900:905:901|app_user|1/2
;
16400|shop|customers|r|f
16401|shop|faces|v|f
;
16400|1|na\"me|25|-1|f|f
16400|3|folded|25|-1|f|t
16401|1|name|25|-1|f|f
;
16400|1
;
;
16402
;
16401| SELECT name FROM shop.customers;|f
;
16400|3|lower(name)|f
;
20000|shop|f|sql|v|SELECT 1|{25}|{a}|\\N|f|25|f|f
;
;
===|20000
;
16500|shop|code|d|25|0
;
;
";

fn logins(seed: Add<'_>) {
    let mut notation = Play::of(scene(), Postgres::default(), "", Cuts::Whole);
    let mut encode = |line: &str| notation.encode(Side::Upstream, line).expect("the notation");
    let settled = encode("R ok ; S client_encoding UTF8 ; K 7 \"4444\" ; Z I");
    let clear = [&encode(r#"tag "R" "\x00\x00\x00\x03""#)[..], &settled].concat();
    let md5 = [&encode(r#"tag "R" "\x00\x00\x00\x05salt""#)[..], &settled].concat();
    let sasl = encode(r#"tag "R" "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00""#);
    let refused = encode(r#"E 28P01 "no 123-45-6789 here""#);
    for (name, bytes) in [("clear", &clear), ("md5", &md5), ("sasl", &sasl), ("refused", &refused)]
    {
        // Which part, flags (1 TLS is required, 2 not even answered), length of a piece.
        seed("postgres_login", name, &[&[0, 0, 255], &bytes[..]].concat());
        seed("postgres_login", &format!("{name}_tls"), &[&[0, 1, 255], &bytes[..]].concat());
        seed("postgres_login", &format!("{name}_client"), &[&[1, 255], &bytes[..]].concat());
    }
    // Message that is changed, where, how, iterations, salt, nonce.
    seed("postgres_login", "scram", b"\x02\x03\x00\x00\x04saltsaltsaltsaltnonce-of-the-server");
    seed("postgres_login", "scram_changed", b"\x02\x01\x05\x01\x04saltsaltsaltsaltnonce");

    seed("postgres_survey", "answers", &[&[0], SURVEY.as_bytes()].concat());
    seed("postgres_survey", "probed", &[&[2], SURVEY.as_bytes()].concat());
    seed("postgres_survey", "locked", &[&b"\0!55P03\n"[..], SURVEY.as_bytes()].concat());
    let row = encode(r#"T x:text ; D "shop" ; C "SELECT 1" ; Z I"#);
    seed("postgres_survey", "messages", &[&[1, 255], &row[..]].concat());
}

fn statements(seed: Add<'_>) {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    for (number, text) in lines.step_by(GOLDEN_STEP).enumerate() {
        let flags = u8::try_from(number % 16).expect("four bits");
        seed("sql", &format!("golden_{number:02}"), &[&[flags], text.as_bytes()].concat());
    }
    for (name, text) in [
        ("insert", "insert into notes (id, body) values (1, 'it''s'), (2, '')"),
        ("page", "select id, ssn from customers where age > 30 order by 1 limit 5"),
        ("order", "select id, ssn from customers order by 1"),
        ("join", "select c.name, 'x' from customers c join orders o on o.customer_id = c.id"),
        ("update", "update orders set total = 10 where id in (1, 2, 3) and 'a' = \"q\"\"u\";"),
        ("cast", "select '1'::int4 + 1, interval '1' day, char(5) 'x', \"float\" from notes"),
    ] {
        seed("sql_shape", name, &[&[1, 2], text.as_bytes()].concat());
    }
}
