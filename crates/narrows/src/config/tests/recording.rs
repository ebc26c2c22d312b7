//! What `check` says of keys, receivers and places that could not work.

use super::{SAMPLE, loaded, problems};

fn with(recording: &str) -> String {
    format!("{SAMPLE}\nrecording:\n  {recording}\n")
}

#[test]
fn p2_a_key_that_cannot_seal_is_told_before_the_gateway_starts() {
    let vault = |address: &str| {
        format!("encryption: {{ vault: {{ address: \"{address}\", key: k, token: {{env: T}} }} }}")
    };
    for (what, wanted) in [
        (
            "store: none\n  encryption: { key: {env: K} }".to_owned(),
            "no archive that it could seal",
        ),
        ("encryption: { public_key: nowhere.pem }".to_owned(), "public_key: cannot read"),
        (vault("https://me:hunter2@v:8200"), "a name or a password in it"),
        (vault("http://v:8200"), "in clear text"),
        (vault("https://v:8200/v1"), "vault.address: found"),
        (vault("v:8200"), "vault.address: not an address"),
    ] {
        let told = problems(&with(&what)).join("\n");
        assert!(told.contains(wanted), "{what}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    for address in ["https://v:8200", "https://v/", "http://127.0.0.1:8200"] {
        loaded(&with(&vault(address)));
    }
}

#[test]
fn a_receiver_that_could_not_be_told_is_refused() {
    let header = "stream: [ { otlp: \"https://a\", headers: { \"X Y\": {env: B} } } ]";
    let told = problems(&with(header)).join("\n");
    assert!(told.contains("headers: found \"X Y\""), "{told}");
    let one = "https://a:4318";
    for other in ["https://a:4318/", "https://A:4318/v1/logs", "https://a:4318/v1/logs/"] {
        let twice = format!("stream: [ {{ otlp: \"{one}\" }}, {{ otlp: \"{other}\" }} ]");
        let told = problems(&with(&twice)).join("\n");
        assert!(told.contains("same address"), "{other}: {told}");
    }
}

#[test]
fn p6_anchors_beside_the_archive_are_warned_about_however_they_are_written() {
    let warned = |archive: &str, anchors: &str| {
        let store =
            if archive.is_empty() { String::new() } else { format!("store: {archive}\n  ") };
        let text = with(&format!("{store}anchors: [ {{ store: {anchors} }} ]"));
        loaded(&text).warnings.iter().any(|of| of.to_string().contains("the archive itself"))
    };
    for (archive, anchors, same) in [
        ("file:x", "file:./x/", true),
        ("file:x", "file:y/../x/anchors", true),
        ("file:x/archive", "file:x", true),
        ("", "file:var/recordings", true),
        ("s3://audit/narrows", "s3://audit/anchors", true),
        ("file:x", "file:xy", false),
        ("s3://audit/narrows", "s3://elsewhere/narrows", false),
        ("s3://audit/narrows", "gs://audit/narrows", false),
    ] {
        assert_eq!(warned(archive, anchors), same, "{archive} {anchors}");
    }
}

#[test]
fn p6_an_installation_key_beside_the_journal_that_it_seals_is_warned_about() {
    let sealed = "recording: { encryption: { key: {env: K} } }";
    let warned = |lines: &str| {
        let loaded = loaded(&format!("{SAMPLE}\n{lines}\n"));
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let told = warned(sealed);
    assert!(told.contains("is data_dir/installation.key, beside it"), "{told}");
    assert!(told.contains("keys: { installation: {file: PATH} }"), "{told}");
    let told = warned(&format!("{sealed}\nkeys: {{ installation: {{file: ./var/key}} }}"));
    assert!(told.contains("keys.installation, is in data_dir, beside it"), "{told}");
    for elsewhere in ["{file: /run/secrets/key}", "{file: ./key}", "{env: K}", "{command: [a]}"] {
        let keys = format!("keys: {{ installation: {elsewhere} }}");
        assert_eq!(warned(&format!("{sealed}\n{keys}")), "", "{elsewhere}");
    }
    assert_eq!(warned("recording: { sync: 0 }"), "", "nothing is sealed by it");
}
