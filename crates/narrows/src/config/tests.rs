//! Whole files: what is found wrong in them, and what they come to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod access;
mod recording;
mod saml;
mod state;
mod stores;
mod telling;

use super::*;
use crate::config::sample::SAMPLE;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("narrows-config-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Every problem of a text, without the folder's name.
fn problems(text: &str) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write("narrows.yaml", text);
    let all = match load(&path, &Rulebook::new(), 1) {
        Ok(_) => Vec::new(),
        Err(unusable) => unusable.problems,
    };
    let prefix = format!("{}/", folder.0.display());
    all.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect()
}

fn loaded(text: &str) -> Loaded {
    let folder = Folder::new();
    let path = folder.write("narrows.yaml", text);
    match load(&path, &Rulebook::new(), 1) {
        Ok(loaded) => loaded,
        Err(unusable) => panic!("{:#?}", unusable.problems),
    }
}

#[test]
fn every_mistake_is_reported_in_one_run_with_its_place_and_the_nearest_word() {
    let found = problems(include_str!("testdata/mistakes.yaml"));
    assert!(found.len() >= 30, "{found:#?}");
    insta::assert_snapshot!("mistakes", found.join("\n"));
}

#[test]
fn mistakes_with_identity_providers_are_told_with_their_place() {
    let found = problems(include_str!("testdata/identity_mistakes.yaml"));
    insta::assert_snapshot!("identity_mistakes", found.join("\n"));
}

#[test]
fn mistakes_with_signing_in_are_told_with_their_place() {
    let part = "identity:\n  oidc:\n    - { issuer: \"https://a.example\", client_secret: {env: X}, audience: x }\n    \
                - { issuer: \"spiffe://a.example\", client_id: x, jwks: \"https://a.example/k\" }\n    \
                - { issuer: \"https://b.example\", client_id: x, scopes: [profile], \
                subject_prefix: b, groups_prefix: b }\n  \
                login: { url: \"http://gw.example\", refresh: 0, session: 90d, idle: 1h }\n  \
                roles: { owner: [x] }\n";
    let found = problems(&format!("{SAMPLE}\n{part}")).join("\n");
    for words in [
        "identity.oidc[0].client_secret: there is no client_id",
        "identity.oidc[1].client_id: people do not sign in at a trust domain",
        "identity.oidc[2].scopes: without openid the provider says nothing",
        "identity.login.url: secrets must not cross the network in clear text",
        "unknown key \"owner\" in identity.roles",
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
    let path = "identity: { login: { url: \"https://gw.example/narrows\", refresh: 0 } }";
    let found = problems(&format!("{SAMPLE}\n{path}\n")).join("\n");
    assert!(found.contains("an address with a path"), "{found}");
    let zero = "identity: { login: { refresh: 0, session: 90d } }";
    let found = problems(&format!("{SAMPLE}\n{zero}\n")).join("\n");
    assert_eq!(found.matches("not from a second to 30 days").count(), 2, "{found}");
}

#[test]
fn signing_in_is_shown_as_it_is_used_and_idle_settings_are_warned_about() {
    let part = "identity:\n  oidc:\n    - { issuer: \"https://a.example\", client_id: narrows, \
                client_secret: {env: X} }\n  login: { url: \"https://gw.example\", refresh: 1m }\n  \
                roles: { viewer: [all], admin: [owners, root] }\n";
    let loaded = loaded(&format!("{SAMPLE}\n{part}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = show::show(&loaded.config);
    for line in [
        "      client_id: narrows\n      client_secret: from the environment variable X\n",
        "  login:\n    url: https://gw.example\n    refresh: 1m\n    session: 12h\n    idle: 1h\n",
        "  roles:\n    viewer: [all]\n    admin: [owners, root]\n",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let twice =
        "identity: { oidc: [{ issuer: \"https://a.example\", client_id: x, audience: x }] }";
    let warnings = self::loaded(&format!("{SAMPLE}\n{twice}\n")).warnings;
    assert!(warnings[0].to_string().contains("pass as access tokens too"), "{warnings:?}");
    let alone = "identity: { login: { idle: 5m }, roles: { viewer: [all] } }";
    let warnings = self::loaded(&format!("{SAMPLE}\n{alone}\n")).warnings;
    let words: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), 2, "{words:#?}");
    assert!(words[0].contains("nobody can sign in, so it has no effect"), "{}", words[0]);
    assert!(words[1].contains("only tokens of people"), "{}", words[1]);
}

#[test]
fn identity_providers_are_shown_as_they_are_used() {
    let text = format!(
        "{SAMPLE}\nidentity:\n  oidc:\n    - {{ issuer: \"https://idp.example\", audience: narrows }}\n    \
         - issuer: https://token.actions.githubusercontent.com\n      audience: [narrows, ci]\n      \
         jwks: https://token.actions.githubusercontent.com/.well-known/jwks\n      \
         algorithms: [RS256]\n      clock_skew: 1m\n      subject_prefix: \"github:\"\n      \
         groups_prefix: \"github:\"\n      groups: [ci]\n      kind: service\n      \
         claims: {{ repository: \"acme/*\" }}\n"
    );
    let loaded = loaded(&text);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = show::show(&loaded.config);
    let part = shown.split("identity:").nth(1).unwrap().split("resources:").next().unwrap();
    insta::assert_snapshot!("identity_shown", part);
}

#[test]
fn issuers_that_can_name_the_same_people_are_warned_about() {
    let text = format!(
        "{SAMPLE}\nidentity:\n  oidc:\n    - {{ issuer: \"https://a.example\", audience: x }}\n    \
         - {{ issuer: \"https://b.example\", audience: x }}\n    \
         - {{ issuer: \"https://a.example\", audience: x }}\n"
    );
    let words: Vec<String> = loaded(&text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), 3, "{words:#?}");
    assert!(words[0].contains("can name the same subjects and groups"), "{}", words[0]);
    assert!(words[1].contains("has the same issuer and audience"), "{}", words[1]);
}

#[test]
fn the_sample_of_the_design_loads_but_for_what_is_not_built() {
    let found = problems(include_str!("testdata/design.yaml"));
    insta::assert_snapshot!("design", found.join("\n"));
}

#[test]
fn what_is_built_of_the_sample_of_the_design_loads_as_it_stands() {
    let text = include_str!("testdata/design.yaml");
    // Exactly the lines that the test above shows to be refused are left out.
    let built: Vec<&str> = text
        .lines()
        .filter(|line| {
            let start = line.trim_start();
            let unbuilt = ["http:", "egress:", "ssh:", "tls: { cert"];
            let unbuilt = unbuilt.iter().chain(&[
                "openai:",
                "web-1:",
                "internet:",
                "- name: posts",
                "on: [\"type:egress\"]",
                "when: http.",
                "block: \"POST",
            ]);
            !unbuilt.clone().any(|word| start.starts_with(word))
        })
        .collect();
    let text = built.join("\n").replace("[appdb, openai, internet]", "[appdb]");
    let loaded = loaded(&text);
    let config = &loaded.config;
    assert_eq!(loaded.policy.rules().count(), 3);
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].tls, model::UpstreamTls::VerifyFull);
    assert_eq!(config.listeners[0].1.to_string(), "127.0.0.1:7432");
    assert_eq!(config.recording.sync, Duration::from_millis(50));
    assert_eq!(config.clients.len(), 1);
    // One name for both is what the design shows, and no mistake.
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].to_string().contains("pass as access tokens too"));
}

#[test]
fn the_sample_to_begin_with_is_right() {
    let loaded = loaded(SAMPLE);
    assert_eq!(loaded.policy.rules().count(), 3);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn the_committed_schema_is_the_one_of_this_build() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/narrows.schema.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, text::schema(), "run: narrows schema > docs/narrows.schema.json");
}

#[test]
fn the_schema_knows_every_key_and_no_other() {
    let schema: serde_json::Value = serde_json::from_str(&text::schema()).unwrap();
    let mut keys: Vec<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "access",
            "approvals",
            "catalog",
            "data_dir",
            "hold",
            "identity",
            "keys",
            "listen",
            "lists",
            "postgres",
            "predicates",
            "recording",
            "resources",
            "rules",
            "session",
            "sessions_max",
            "state",
            "tls",
            "transparent",
            "vault",
        ]
    );
    assert_eq!(schema["additionalProperties"], false);
    let listen = schema["$defs"]["Listen"]["properties"].as_object().unwrap();
    assert_eq!(
        listen.keys().collect::<Vec<_>>(),
        ["admin", "egress", "http", "postgres", "transparent"]
    );
}

#[test]
fn resources_reached_by_http_are_read_whole_and_every_mistake_in_them_is_told() {
    let config = |resources: &str| {
        format!(
            "listen: {{ http: \"127.0.0.1:7080\", egress: \"127.0.0.1:7081\" }}\n\
             resources:\n{resources}\n\
             access: [ {{ groups: [agents], resources: [\"*\"] }} ]\n"
        )
    };
    let loaded = loaded(&config(
        "  api: { type: http, url: \"http://10.0.0.7:8080/v2/\", headers: { X-Key: {env: K} },\n\
             \x20        http: { opaque: 10MiB, inspect_max: 1MiB, stream_inspect: true, normalise: true } }\n  \
           gpt: { type: openai, url: \"https://api.openai.com\", paths: [/v1/conversations] }\n  \
           net: { type: egress, hosts: { \"A.test\": \"127.0.0.1:9\" }, networks: [10.0.0.0/8],\n\
             \x20        credentials: { A.test: { Authorization: {env: K} } } }",
    ));
    let [api, gpt, net] = loaded.config.sites.as_slice() else { panic!("three sites") };
    assert_eq!(api.options["authority"], "10.0.0.7:8080");
    assert_eq!(api.options["base"], "/v2");
    assert_eq!(api.options["scheme"], "http");
    assert_eq!(api.options["opaque"], 10 << 20);
    assert_eq!(api.options["normalise"], true);
    assert_eq!(api.options["stream_inspect"], true);
    assert_eq!(gpt.options["authority"], "api.openai.com");
    assert_eq!(
        (gpt.options["base"].as_str(), gpt.options["model"].as_bool()),
        (Some(""), Some(true))
    );
    assert_eq!(gpt.options["paths"], serde_json::json!(["/v1/conversations"]));
    assert_eq!(net.hosts, [("a.test".to_owned(), "127.0.0.1:9".parse().unwrap())]);
    assert_eq!(net.networks, [("10.0.0.0".parse().unwrap(), 8)]);
    let [(host, fields)] = net.credentials.as_slice() else { panic!("one host") };
    assert_eq!((&**host, &*fields[0].0), ("a.test", "Authorization"));
    let found = problems(&config(
        "  a: { type: http }\n  \
           b: { type: http, url: \"ftp://x\" }\n  \
           c: { type: openai, url: \"https://u:p@x\" }\n  \
           d: { type: http, url: \"https://x?q\", headers: { \"a b\": {env: K} } }\n  \
           e: { type: egress, hosts: { x: y }, networks: [10.0.0.0/33], http: { opaque: some },\n\
             \x20      passthrough: [\"a.*\", 10.0.0.1, \"a.test:443\", \"*.ok.test\"],\n\
             \x20      credentials: { \"https://x\": { a: {env: K} }, x: { \"a b\": {env: K}, Host: {env: K} } } }\n  \
           f: { type: egres }\n  \
           g: { type: openai, url: \"https://x\", paths: [\"files/*\", /v1, \"/a/../b\"] }\n  \
           h: { type: http, url: \"https://x\", paths: [/v1/files] }\n  \
           i: { type: openai, url: \"https://x\", http: { stream_inspect: true } }\n  \
           j: { type: http, url: \"https://x\", http: { stream_inspect: true, inspect_max: 64KiB } }",
    ));
    insta::assert_snapshot!("web_mistakes", found.join("\n"));
}

#[test]
fn p3_rules_that_a_tunnel_passed_on_unopened_gets_around_are_warned_about() {
    let text = |rules: &str| {
        format!(
            "listen: {{ egress: \"127.0.0.1:7081\" }}\n\
             resources:\n  net: {{ type: egress, passthrough: [a.test, \"*.b.test\"] }}\n\
             access: [ {{ groups: [agents], resources: [net] }} ]\n\
             rules:\n{rules}"
        )
    };
    let mask = "  - { name: m, on: [net], mask: { fields: [ssn] } }\n";
    let method =
        "  - { name: p, on: [\"type:egress\"], when: 'http.method == \"POST\"', block: no }\n";
    let path = "  - { name: q, when: 'http.path == \"/x\"', block: no }\n";
    let told = |rules: &str| {
        let warned = loaded(&text(rules)).warnings;
        warned.into_iter().map(|warning| warning.message).collect::<Vec<_>>()
    };
    let warned = told(&format!("{mask}{method}{path}"));
    let [masked, blind, unknown] = warned.as_slice() else { panic!("{warned:?}") };
    assert!(masked.contains("cannot be masked") && masked.ends_with(": m"), "{masked}");
    assert!(blind.contains("see CONNECT") && blind.ends_with(": p"), "{blind}");
    assert!(unknown.contains("not known") && unknown.ends_with(": q"), "{unknown}");
    let fine = "  - { name: h, when: 'http.host == \"x.test\" && http.port != 443', block: no }\n\
                \x20 - { name: u, when: '!http.unopened && http.path == \"/x\"', block: no }\n\
                \x20 - { name: o, mode: observe, mask: { fields: [ssn] } }\n";
    let about = |told: &String| told.contains("passthrough");
    assert!(!told(fine).iter().any(about), "{:?}", told(fine));
    let options = &loaded(&text(fine)).config.sites[0].options;
    assert_eq!(options["passthrough"], serde_json::json!(["a.test", "*.b.test"]));
}

#[test]
fn p2_transparent_mode_says_who_is_where_or_is_refused() {
    let text = |listen: &str, transparent: &str| {
        format!(
            "listen: {{ egress: \"127.0.0.1:7081\"{listen} }}\n{transparent}\n\
             resources: {{ net: {{ type: egress }} }}\n\
             access: [ {{ groups: [agents], resources: [net] }} ]\n"
        )
    };
    let listens = ", transparent: \"[::]:7083\"";
    let sources = "{ \"10.0.0.0/24\": {env: A}, \"fd00::7\": {file: t} }";
    let fine = format!("transparent: {{ sources: {sources}, mode: tproxy }}");
    let config = loaded(&text(listens, &fine)).config;
    let transparent = config.transparent.expect("it is there");
    let networks: Vec<String> =
        transparent.sources.iter().map(|(ip, bits, _)| format!("{ip}/{bits}")).collect();
    assert!(transparent.tproxy);
    assert_eq!(networks, ["10.0.0.0/24", "fd00::7/128"]);
    let said = |listen: &str, transparent: &str| problems(&text(listen, transparent)).join("\n");
    assert!(said("", &fine).contains("nothing listens for it"));
    assert!(said(listens, "").contains("nobody is let in"));
    assert!(said(listens, "transparent: {}").contains("has no sources"));
    let wrong = "transparent: { sources: { \"10.0.0.0/33\": {env: A} }, mode: snoop }";
    let said = said(listens, wrong);
    assert!(said.contains("10.0.0.0/33") && said.contains("snoop"), "{said}");
}

#[test]
fn p7_secrets_are_warned_about_and_never_shown() {
    let text = SAMPLE.replace("{env: APPDB_PASSWORD}", "hunter2");
    let loaded = loaded(&text);
    assert!(loaded.warnings[0].message.contains("the secret stands in the file itself"));
    let shown = show::show(&loaded.config);
    assert!(shown.contains("password: *** (written in the file)"), "{shown}");
    let everything = format!("{shown}{:?}{:?}", loaded.config, loaded.warnings);
    assert!(!everything.contains("hunter2"));
    // Not even when it is wrong.
    for wrong in ["[hunter2]", "{env: [hunter2]}", "12345678", "{evn: hunter2}"] {
        let found = problems(&SAMPLE.replace("{env: APPDB_PASSWORD}", wrong)).join("\n");
        assert!(found.contains("appdb.password"), "{wrong}: {found}");
        assert!(!found.contains("hunter2") && !found.contains("12345678"), "{wrong}: {found}");
    }
}

#[test]
fn check_show_prints_what_is_in_force() {
    insta::assert_snapshot!("show", {
        let loaded = loaded(SAMPLE);
        let folder = loaded.config.file.parent().unwrap().display().to_string();
        show::show(&loaded.config).replace(&folder, "FOLDER")
    });
}

#[test]
fn rules_may_stand_in_a_folder_of_files() {
    let folder = Folder::new();
    let (head, rules) = SAMPLE.split_once("rules:\n").unwrap();
    let path = folder.write("narrows.yaml", &format!("{head}rules: ./rules\n"));
    folder.write("rules/b.yaml", rules);
    folder.write("rules/a.yaml", "- { name: first, alert: \"seen\" }\n");
    folder.write("rules/.hidden.yaml", "not: rules");
    folder.write("rules/notes.txt", "not rules");
    let loaded = load(&path, &Rulebook::new(), 1).map_err(|e| e.problems).unwrap();
    let names: Vec<_> = loaded.policy.rules().map(ToString::to_string).collect();
    assert_eq!(names, ["first", "mask-cards-and-ssn", "big-reads", "no-destruction"]);
    folder.write("rules/c.yaml", "- { name: bad, blok: \"x\" }\n");
    let unusable = load(&path, &Rulebook::new(), 1).err().unwrap();
    assert!(unusable.problems[0].at.file.ends_with("rules/c.yaml"));
    std::fs::remove_dir_all(folder.0.join("rules")).unwrap();
    let unusable = load(&path, &Rulebook::new(), 1).err().unwrap();
    assert!(unusable.problems[0].message.contains("cannot read the folder"));
}

#[test]
fn a_file_that_is_no_configuration_is_one_clear_problem() {
    for (text, words) in [
        ("", "no protocol listens anywhere"),
        ("[]", "write a table with data_dir"),
        ("just words", "found one text, not keys and values"),
        ("a: [1", "this is not YAML"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].contains(words), "{text:?}: {found:?}");
    }
    let missing = load(Path::new("/nonexistent/narrows.yaml"), &Rulebook::new(), 1).err().unwrap();
    assert!(missing.problems[0].message.contains("cannot read the file"));
}

#[test]
fn p8_a_file_is_bounded() {
    let long = format!("# {}\n", "x".repeat(usize::try_from(tree::FILE_BYTES_MAX).unwrap()));
    assert!(problems(&long)[0].contains("more than 4194304 bytes"));
}

#[test]
fn what_weakens_the_gateway_is_warned_about() {
    let text = SAMPLE
        .replace("127.0.0.1:5432", "db.example:5432")
        .replace("admin:    127.0.0.1:7070", "admin: 0.0.0.0:7070")
        .replace("- name: big-reads", "- name: big-reads\n    mode: observe");
    let warnings: Vec<_> = loaded(&text).warnings.iter().map(ToString::to_string).collect();
    for words in ["clear text", "can be reached from the network", "big-reads only observes"] {
        assert!(warnings.iter().any(|warning| warning.contains(words)), "{words}: {warnings:?}");
    }
}

#[test]
fn a_classification_that_nothing_asks_about_is_warned_about() {
    let rule = "rules:\n  - { name: follow, classify: { fields: [email] } }\n";
    let text = SAMPLE.replace("rules:\n", rule);
    let warnings = |text: &str| -> Vec<String> {
        loaded(text).warnings.iter().map(ToString::to_string).collect()
    };
    let found = warnings(&text).join("\n");
    assert!(found.contains("\"follow\" has no effect"), "{found}");
    assert!(found.contains("http.carries"), "{found}");
    let asks = "  - { name: stays, when: http.carries.size() > 0, block: no }\n";
    let found = warnings(&text.replace(rule, &format!("{rule}{asks}")));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_rule_says_how_much_of_replies_is_recorded() {
    use policy::{ActionSpec, PayloadPolicy};
    let with = |record: &str| {
        SAMPLE.replace("rules:\n", &format!("rules:\n  - {{ name: kept, record: {record} }}\n"))
    };
    for (text, wanted, shown) in [
        ("{ payload: none }", PayloadPolicy::None, "record: { payload: none }"),
        ("{ payload: full }", PayloadPolicy::Full, "record: { payload: full }"),
        (
            "{ payload: head }",
            PayloadPolicy::Head(64 << 10),
            "record: { payload: { head: 65536B } }",
        ),
        ("{ payload: {head: 4KiB} }", PayloadPolicy::Head(4096), "payload: { head: 4096B }"),
    ] {
        let config = loaded(&with(text)).config;
        let rule = &config.policy.rules[0];
        assert!(matches!(rule.action, ActionSpec::Record(of) if of.payload == Some(wanted)));
        assert!(super::show::rule(rule).contains(shown), "{}", super::show::rule(rule));
    }
    for (text, said) in [
        ("{ }", "does not say what to record"),
        ("{ payload: some }", "full"),
        ("{ paylod: none }", "payload"),
        ("{ payload: none }, when: result.rows > 3", "must be decided before the reply comes"),
    ] {
        let problems = problems(&with(text)).join("\n");
        assert!(problems.contains(said), "{text}: {problems}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let loaded = loaded(&format!("{SAMPLE}\nrecording: {{ store: \"file:./var/recordings\" }}\n"));
    let folder = loaded.config.file.parent().unwrap();
    assert_eq!(loaded.config.data_dir, folder.join("./var"));
    let store = loaded.config.recording.store.unwrap();
    assert_eq!(store.folder(), Some(&*folder.join("./var/recordings")));
}

#[test]
fn p6_retention_is_of_stores_that_can_keep_it() {
    use archive::{LockMode, Retention};
    let day = Duration::from_secs(24 * 60 * 60);
    let with = |store: &str, more: &str| {
        format!("{SAMPLE}\nrecording: {{ store: \"{store}\", {more} }}\n")
    };
    let of = |more: &str| loaded(&with("s3://audit", more)).config.recording.retention;
    let retention = |mode, days| Some(Retention { mode, length: day * days });
    assert_eq!(of("retention: 400d"), retention(LockMode::Compliance, 400));
    let form = "retention: { for: 30d, mode: governance }";
    assert_eq!(of(form), retention(LockMode::Governance, 30));
    assert_eq!(of("retention: { for: 1d }"), retention(LockMode::Compliance, 1));
    assert_eq!(of("sync: 0"), None);
    for (store, more, wanted) in [
        ("s3://audit", "retention: 36500d1s", "write a length of time from 1d to 36500d"),
        ("s3://audit", "retention: 23h", "write a length of time from 1d to 36500d"),
        ("s3://audit", "retention: { mode: governance }", "recording.retention.for is missing"),
        ("s3://audit", "retention: { for: 1d, mode: governence }", "did you mean \"governance\"?"),
        ("s3://audit", "retention: { of: 1d }", "of"),
        ("file:./x", "retention: 400d", "a folder cannot keep its files from being changed"),
        ("gs://audit", "retention: 400d", "set a retention policy on the bucket"),
        ("azure://audit", "retention: 400d", "set a retention policy on the container"),
        ("none", "retention: 400d", "recording.store is none"),
    ] {
        let problems = problems(&with(store, more));
        let words = problems.join("\n");
        assert!(words.contains(wanted), "{store} {more}: {wanted:?} is not in {words}");
        let line = SAMPLE.lines().count() + 2;
        assert!(words.contains(&format!(":{line}:")), "{words}");
    }
}

#[test]
fn the_store_is_told_how_to_encrypt_if_it_is_s3() {
    use archive::StoreEncryption;
    let with = |store: &str, more: &str| {
        format!("{SAMPLE}\nrecording: {{ store: \"{store}\", store_encryption: {more} }}\n")
    };
    let of = |more: &str| loaded(&with("s3://audit", more)).config.recording.store_encryption;
    let kms = |bucket_key| Some(StoreEncryption::Kms { key: "alias/audit".into(), bucket_key });
    assert_eq!(of("sse-s3"), Some(StoreEncryption::S3));
    assert_eq!(of("{ aws_kms: alias/audit }"), kms(None));
    assert_eq!(of("{ aws_kms: alias/audit, bucket_key: false }"), kms(Some(false)));
    for (store, more, wanted) in [
        ("s3://audit", "sse-c", "did you mean \"sse-s3\"?"),
        ("s3://audit", "{ bucket_key: true }", "recording.store_encryption.aws_kms is missing"),
        ("s3://audit", "{ aws_kms: \"a key\" }", "write the ARN, id or alias of a key"),
        ("file:./x", "sse-s3", "a folder does not encrypt"),
        ("gs://audit", "sse-s3", "set the default key of the bucket"),
        ("none", "sse-s3", "recording.store is none"),
    ] {
        let words = problems(&with(store, more)).join("\n");
        assert!(words.contains(wanted), "{store} {more}: {wanted:?} is not in {words}");
    }
}

#[test]
fn recordings_are_sealed_by_exactly_one_key() {
    use super::recording::SealingKey;
    let with = |encryption: &str| format!("{SAMPLE}\nrecording: {{ encryption: {encryption} }}\n");
    let by = |text: &str| loaded(&with(text)).config.recording.encryption.unwrap();
    let local = by("{ key: {file: k}, also: [{env: OLD}] }");
    assert!(matches!(&local.by, SealingKey::Local(scalar::SecretForm::File(path))
        if path.is_absolute() && path.ends_with("k")));
    assert_eq!(local.also.len(), 1);
    let file = format!("{{ public_key: {}/Cargo.toml }}", env!("CARGO_MANIFEST_DIR"));
    assert!(matches!(by(&file).by, SealingKey::Public(_)));
    assert!(matches!(by("{ aws_kms: alias/narrows }").by, SealingKey::Kms(_)));
    let vault = by("{ vault: { address: \"https://v\", key: k, token: {env: T} } }");
    assert!(matches!(&vault.by, SealingKey::Vault(_, mount, ..) if mount == "transit"));
    for (text, said) in [
        ("{ }", "not exactly one key"),
        ("{ key: {env: K}, aws_kms: k }", "not exactly one key"),
        ("{ vault: { address: \"https://v\" } }", "address, key or token is missing"),
    ] {
        let problems = problems(&with(text)).join("\n");
        assert!(problems.contains(said), "{text}: {problems}");
    }
}

#[test]
fn every_setting_reaches_the_working_form() {
    let text = SAMPLE.to_owned()
        + "recording: { sync: 0, payload: { head: 4KiB }, on_failure: continue,\n  \
           store: \"s3://audit/narrows\", archive_every: 10s, keep_journal: 2h, scrub: [credit_card, EMAIL] }\n\
           hold: { buffer: 1MiB, buffer_total: 2MiB }\n\
           catalog: { max_age: 5s }\n\
           sessions_max: 7\n\
           predicates: { budget: 9 }\n\
           postgres: { statement_bytes_max: 2MiB }\n\
           keys: { installation: {env: KEY} }\n";
    let text = text.replace(
        "tls: off",
        "isolation: shared\n    server_files: allow\n    roles: [reader]\n    \
         tls_negotiation: postgres\n    recording: { on_failure: refuse, payload: none }\n    tls: off",
    );
    let config = loaded(&text).config;
    assert_eq!(config.recording.sync, Duration::ZERO);
    assert_eq!(config.recording.store.unwrap().to_string(), "s3://audit/narrows");
    let scrubbed: Vec<&str> = config.recording.scrub.iter().map(|kind| kind.name()).collect();
    assert_eq!(scrubbed, ["CREDIT_CARD", "EMAIL"]);
    assert_eq!(config.recording.archive_every, Duration::from_secs(10));
    assert_eq!(config.recording.keep_journal, Duration::from_secs(7200));
    assert_eq!(config.recording.payload, scalar::Payload::Head(4096));
    assert_eq!(config.recording.on_failure, scalar::OnFailureForm::Continue);
    let recorded = config.upstreams[0].recorded;
    assert_eq!(recorded.on_failure, scalar::OnFailureForm::Refuse);
    assert_eq!(recorded.payload, scalar::Payload::None);
    assert_eq!((config.hold_buffer_bytes, config.hold_total_bytes), (1 << 20, 2 << 20));
    assert_eq!(config.catalog_max_age, Duration::from_secs(5));
    assert_eq!(config.sessions_max, 7);
    assert_eq!(config.guesses_max, 9);
    assert_eq!(config.statement_bytes_max, 2 << 20);
    assert!(config.installation_key.is_some());
    let options = serde_json::json!({
        "isolation": "shared", "server_files": "allow", "roles": ["reader"]
    });
    assert_eq!(config.upstreams[0].options, options);
}

#[test]
fn a_handshake_that_comes_first_needs_tls() {
    let told = problems(&SAMPLE.replace("tls: off", "tls: off\n    tls_negotiation: direct"));
    assert!(told.concat().contains("tls_negotiation is direct, and tls is off"), "{told:?}");
    let text = SAMPLE.replace("tls: off", "tls: require\n    tls_negotiation: direct");
    let options = &loaded(&text).config.upstreams[0].options;
    assert_eq!(options, &serde_json::json!({ "tls_negotiation": "direct" }));
}

#[test]
fn a_mistake_in_a_folded_condition_is_told_where_it_stands() {
    let text = SAMPLE.replace("\"merge\"])", "\"merge\"]) || nosuch");
    let line = text.lines().position(|line| line.contains("nosuch")).unwrap();
    let column = text.lines().nth(line).unwrap().find("nosuch").unwrap();
    let place = format!("narrows.yaml:{}:{}: ", line + 1, column + 1);
    let found = problems(&text);
    assert!(found.len() == 1 && found[0].starts_with(&place), "{place}: {found:?}");
}

#[test]
fn a_message_stays_on_one_line_whatever_it_quotes() {
    let open = "a \"text that is never closed\n".to_owned() + &"      || more\n".repeat(99);
    for text in [
        SAMPLE
            .replace("result.rows > 10000 || principal.rows > 50000", &open)
            .replace("when: a", "when: |\n      a"),
        SAMPLE.replace("  appdb: ", "  \"app\\ndb\": "),
    ] {
        let found = problems(&text);
        assert!(!found.is_empty());
        for problem in found {
            assert!(!problem.contains('\n') && problem.chars().count() < 1_000, "{problem:?}");
        }
    }
}

#[test]
fn what_goes_elsewhere_is_read_and_shown_without_what_may_be_secret() {
    let loaded = loaded(&format!(
        "{SAMPLE}\nrecording:\n  stream:\n    \
         - {{ syslog: \"tls://siem.example\" }}\n    \
         - {{ syslog: \"tcp://[::1]:601\", texts: true }}\n    \
         - {{ otlp: \"https://otel.example:4318\", headers: {{ Authorization: {{env: A}} }} }}\n    \
         - {{ webhook: \"https://hooks.example/T0/secret\", secret: {{file: hook}} }}\n  anchors:\n    \
         - {{ webhook: \"https://hooks.example/other\", secret: {{env: H}} }}\n    \
         - {{ store: \"s3://elsewhere/anchors\" }}\n"
    ));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let shown = show::show(&loaded.config);
    let wanted = "  stream:\n    \
         - { syslog: \"tls://siem.example:6514\", texts: false }\n    \
         - { syslog: \"tcp://[::1]:601\", texts: true }\n    \
         - { otlp: \"https://otel.example:4318\", texts: false }\n    \
         - { webhook: \"https://hooks.example\", texts: false }\n  anchors:\n    \
         - { webhook: \"https://hooks.example\" }\n    \
         - { store: \"s3://elsewhere/anchors\" }\n";
    assert!(shown.contains(wanted), "{shown}");
}

#[test]
fn a_place_elsewhere_that_cannot_be_used_is_told() {
    let secret = "secret: {env: S}";
    for (what, wanted) in [
        ("stream: [ {} ]".to_owned(), "has to name one receiver"),
        (
            format!("stream: [ {{ webhook: \"https://a\", syslog: \"tls://a\", {secret} }} ]"),
            "one receiver",
        ),
        ("stream: [ { webhook: \"https://a\" } ]".to_owned(), "no secret to sign with"),
        (format!("stream: [ {{ syslog: \"tls://a\", {secret} }} ]"), "secret goes with webhook"),
        ("stream: [ { syslog: \"udp://a:514\" } ]".to_owned(), "over UDP events would be lost"),
        ("stream: [ { syslog: \"tls://\" } ]".to_owned(), "write tls://HOST"),
        ("stream: [ { otlp: \"ftp://a\" } ]".to_owned(), "not an address of https"),
        ("stream: [ { otlp: \"https://u:p@a\" } ]".to_owned(), "a name or a password"),
        (
            "stream: [ { otlp: \"http://a:4318\", headers: { A: {env: B} } } ]".to_owned(),
            "in clear text",
        ),
        (
            "stream: [ { syslog: \"tls://a\" }, { syslog: \"tls://a:6514\" } ]".to_owned(),
            "same address",
        ),
        ("anchors: [ { store: \"nowhere\" } ]".to_owned(), "anchors[0].store"),
        (format!("anchors: [ {{ store: \"file:x\", {secret} }} ]"), "secret goes with webhook"),
        ("anchors: [ {} ]".to_owned(), "has to name one place"),
        ("store: none\n  anchors: [ { store: \"file:x\" } ]".to_owned(), "there is no archive"),
    ] {
        let told = problems(&format!("{SAMPLE}\nrecording:\n  {what}\n")).join("\n");
        assert!(told.contains(wanted), "{what}: {told}");
    }
    let warned = |what: &str| {
        let loaded = loaded(&format!("{SAMPLE}\nrecording:\n  {what}\n"));
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for clear in ["syslog: \"tcp://siem.example\"", "otlp: \"http://otel.example:4318\""] {
        assert!(warned(&format!("stream: [ {{ {clear} }} ]")).contains("in clear text"), "{clear}");
    }
    assert_eq!(warned("stream: [ { otlp: \"http://127.0.0.1:4318\" } ]"), "");
    let sealed =
        "encryption: { key: {env: K} }\n  stream: [ { syslog: \"tls://a\", texts: true } ]";
    assert!(warned(sealed).contains("texts leave that encryption seals"));
    let same = "store: \"file:x\"\n  anchors: [ { store: \"file:x\" } ]";
    assert!(warned(same).contains("the archive itself is there"));
}

#[test]
fn p7_of_a_file_that_is_no_configuration_nothing_is_repeated() {
    for text in ["nrw_5ecret\n", "DATABASE_PASSWORD=5ecret\n", "\"5ecret\"\n"] {
        let found = problems(text);
        let [problem] = found.as_slice() else { panic!("{found:?}") };
        assert!(problem.contains("found one text, not keys and values"), "{problem}");
        assert!(!problem.contains("5ecret"), "{problem}");
    }
}
