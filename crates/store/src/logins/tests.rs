use std::sync::Arc;

use model::limit::{LOGIN_ANSWERS_MAX, LOGIN_CODES_MAX};
use parking_lot::Mutex;

use super::*;
use crate::testing::{Folder, at};

const METHOD: &str = "oidc:https://idp.example narrows";
const AS_IT_IS: &str = "as it is";
const HOUR: Duration = Duration::from_secs(3600);

fn registry(folder: &Folder) -> Arc<Registry> {
    let state = crate::State::open(&folder.path().join("state.sqlite")).unwrap();
    Registry::local(Arc::new(state))
}

fn logins(folder: &Folder) -> Logins {
    let key = InstallationKey::from_bytes(&[9; 32]).unwrap();
    let logins = Logins::open(registry(folder), &key).unwrap();
    logins.honour("oidc:", [(METHOD.to_owned(), AS_IT_IS.to_owned())]);
    logins
}

fn new(subject: &str, groups: &[&str]) -> NewLogin {
    NewLogin {
        method: METHOD.into(),
        believed_by: AS_IT_IS.to_owned(),
        subject: subject.into(),
        name: None,
        groups: groups.iter().map(|group| Arc::from(*group)).collect(),
        issuer: "https://idp.example".into(),
        ends_at: at(10_000),
        renews: true,
        keep: Some(Secret::new("refresh-token-1".to_owned())),
    }
}

fn groups(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Hears which tokens may not be used any more.
fn heard(logins: &Logins) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    logins.subscribe(Box::new(move |tokens, why| {
        ear.lock().extend(tokens.iter().map(|token| format!("{} {why}", token.0)));
    }));
    heard
}

#[test]
fn a_login_its_cookie_and_its_tokens_outlive_a_restart() {
    let folder = Folder::new();
    let (cookie, token, id) = {
        let logins = logins(&folder);
        let (login, cookie) = logins.begin(new("ann", &["dba"]), at(0)).unwrap();
        let (_, token) = logins.token(&login.id, "laptop", at(1)).unwrap();
        (cookie, token, login.id.clone())
    };
    let logins = logins(&folder);
    let (login, _) = logins.by_cookie(cookie.expose(), HOUR, at(2)).unwrap();
    assert_eq!((&*login.subject, &login.id), ("ann", &id));
    let who = logins.verify(token.expose(), at(2)).unwrap();
    assert_eq!((&*who.subject, who.kind), ("ann", PrincipalKind::Person));
    assert_eq!((who.groups, &*who.issuer), (groups(&["dba"]), "https://idp.example"));
    assert_eq!(who.expires_at, Some(at(10_000)));
    assert_eq!(logins.kept(&id).unwrap().unwrap().expose(), "refresh-token-1");
    assert_eq!(logins.tokens(&id)[0].label, "laptop".into());
}

#[test]
fn p7_what_stands_for_a_login_is_nowhere_in_the_data_folder() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (login, cookie) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let (_, token) = logins.token(&login.id, "", at(0)).unwrap();
    logins.put_code(Code::Device, ("code-1", Some("BCDFGHJK")), "for ann", at(60), at(0)).unwrap();
    let secrets = [cookie.expose(), token.expose(), "refresh-token-1", "code-1", "BCDFGHJK"];
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in secrets {
            let held = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!held, "{secret}");
        }
    }
}

#[test]
fn a_cookie_is_no_token_and_a_token_no_cookie() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (login, cookie) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let (_, token) = logins.token(&login.id, "", at(0)).unwrap();
    let as_token = format!("nrw_{}", cookie.expose());
    for text in [cookie.expose(), &as_token, "", "nrw_"] {
        assert_eq!(logins.verify(text, at(1)), Err(TokenError::Unknown), "{text}");
    }
    let bare = token.expose().strip_prefix("nrw_").unwrap();
    for text in [token.expose(), bare, ""] {
        assert!(logins.by_cookie(text, HOUR, at(1)).is_none());
    }
}

#[test]
fn a_browser_that_is_silent_and_a_login_that_is_over_are_let_in_no_more() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (login, cookie) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let (key, token) = logins.token(&login.id, "", at(0)).unwrap();
    assert!(logins.by_cookie(cookie.expose(), HOUR, at(3_599)).is_some());
    assert!(logins.by_cookie(cookie.expose(), HOUR, at(7_198)).is_some(), "it was used meanwhile");
    assert!(logins.by_cookie(cookie.expose(), HOUR, at(7_199 + 3_600)).is_none(), "silent");
    assert!(logins.verify(token.expose(), at(9_999)).is_ok(), "a token is not idle");
    assert_eq!(logins.verify(token.expose(), at(10_000)), Err(TokenError::Expired));
    assert_eq!(logins.recheck(&key.id, at(10_000)), Err(TokenError::Expired));
    assert!(logins.token(&login.id, "", at(10_000)).is_err());
    let over = logins.sweep(at(10_000)).unwrap();
    assert_eq!(over.len(), 1);
    assert_eq!(logins.verify(token.expose(), at(10_000)), Err(TokenError::Unknown));
}

#[test]
fn groups_that_change_are_told_and_count_at_once() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let heard = heard(&logins);
    let (login, _) = logins.begin(new("ann", &["dba"]), at(0)).unwrap();
    let (key, token) = logins.token(&login.id, "", at(0)).unwrap();
    let before = logins.verify(token.expose(), at(1)).unwrap();
    let keep = || Some(Secret::new("refresh-token-2".to_owned()));
    let same = Renewal { groups: groups(&["dba"]), keep: keep() };
    assert!(!logins.renew(&login.id, same, at(2)).unwrap());
    assert!(logins.is_current(&before) && heard.lock().is_empty());
    let fewer = Renewal { groups: groups(&[]), keep: keep() };
    assert!(logins.renew(&login.id, fewer, at(3)).unwrap());
    assert!(!logins.is_current(&before), "whoever was proved before begins no session");
    assert_eq!(logins.verify(token.expose(), at(3)).unwrap().groups, groups(&[]));
    assert_eq!(*heard.lock(), [format!("{} groups_changed", key.id.0)]);
    assert_eq!(logins.kept(&login.id).unwrap().unwrap().expose(), "refresh-token-2");
}

#[test]
fn signing_out_ends_everything_of_the_login_and_nothing_else() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let heard = heard(&logins);
    let (ann, cookie) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let (ben, others) = logins.begin(new("ben", &[]), at(0)).unwrap();
    let (key, token) = logins.token(&ann.id, "", at(0)).unwrap();
    let (_, kept) = logins.token(&ben.id, "", at(0)).unwrap();
    assert_eq!(logins.end(&ann.id, "signed_out").unwrap().unwrap().subject, "ann".into());
    assert_eq!(*heard.lock(), [format!("{} signed_out", key.id.0)]);
    assert!(logins.by_cookie(cookie.expose(), HOUR, at(1)).is_none());
    assert_eq!(logins.verify(token.expose(), at(1)), Err(TokenError::Unknown));
    assert_eq!(logins.recheck(&key.id, at(1)), Err(TokenError::Revoked));
    assert!(logins.by_cookie(others.expose(), HOUR, at(1)).is_some());
    assert!(logins.verify(kept.expose(), at(1)).is_ok());
    assert!(logins.end(&ann.id, "signed_out").unwrap().is_none());
}

#[test]
fn one_gateway_asks_about_a_login_at_a_time() {
    let folder = Folder::new();
    let (one, login) = {
        let logins = logins(&folder);
        let (login, _) = logins.begin(new("ann", &[]), at(0)).unwrap();
        (logins, login)
    };
    let other = logins(&folder);
    assert!(one.claim(&login, at(300)).unwrap());
    assert!(!other.claim(&login, at(300)).unwrap(), "as it was loaded before");
    other.heard_all().unwrap();
    let fresh = other.login(&login.id).unwrap();
    assert_eq!(fresh.asked_at, at(300));
}

#[test]
fn p8_codes_are_good_once_for_a_time_and_bounded_in_number() {
    let folder = Folder::new();
    let logins = logins(&folder);
    logins.put_code(Code::Device, ("a", Some("SAID")), "one", at(60), at(0)).unwrap();
    assert_eq!(logins.code_said("SAID", Take::Look, at(1)).unwrap().as_deref(), Some("one"));
    assert!(!logins.change_code("SAID", "other", "two", at(1)).unwrap(), "it is for another thing");
    assert!(logins.change_code("SAID", "one", "two", at(1)).unwrap());
    assert_eq!(logins.code(Code::Device, "a", Take::Once, at(59)).unwrap().as_deref(), Some("two"));
    assert_eq!(logins.code(Code::Device, "a", Take::Once, at(59)).unwrap(), None, "once");
    logins.put_code(Code::Device, ("b", None), "three", at(60), at(0)).unwrap();
    assert_eq!(
        logins.code(Code::Device, "b", Take::Look, at(60)).unwrap(),
        None,
        "at its very end"
    );
    for number in 0..LOGIN_CODES_MAX {
        let code = format!("n{number}");
        logins.put_code(Code::Program, (&code, None), "x", at(90), at(61)).unwrap();
    }
    let full = logins.put_code(Code::Program, ("more", None), "x", at(90), at(61)).unwrap_err();
    assert_eq!(full.to_string(), "there are 1000 codes of programs, the limit");
    logins.put_code(Code::Program, ("more", None), "x", at(200), at(90)).unwrap();
}

#[test]
fn p8_codes_of_one_kind_keep_out_none_of_another() {
    let folder = Folder::new();
    let logins = logins(&folder);
    for number in 0..LOGIN_CODES_MAX {
        let code = format!("n{number}");
        logins.put_code(Code::Answer, (&code, None), "x", at(90), at(0)).unwrap();
    }
    let code = ("n1", None);
    assert!(logins.put_code(Code::Answer, code, "y", at(90), at(0)).is_err());
    logins.put_code(Code::Program, code, "y", at(90), at(0)).unwrap();
    assert_eq!(logins.code(Code::Program, "n1", Take::Once, at(1)).unwrap().as_deref(), Some("y"));
    assert_eq!(logins.code(Code::Answer, "n1", Take::Once, at(1)).unwrap().as_deref(), Some("x"));
    assert_eq!(logins.code(Code::Device, "n2", Take::Look, at(1)).unwrap(), None);
}

#[test]
fn p2_what_was_taken_is_taken_once_until_its_time_and_after_a_restart() {
    let folder = Folder::new();
    let logins = || logins(&folder);
    let one = logins();
    assert!(one.take_once("idp a", at(60), at(0)).unwrap());
    assert!(!one.take_once("idp a", at(60), at(59)).unwrap());
    assert!(one.take_once("idp b", at(60), at(0)).unwrap());
    drop(one);
    let other = logins();
    assert!(!other.take_once("idp a", at(60), at(59)).unwrap());
    assert!(other.take_once("idp a", at(90), at(60)).unwrap());
}

#[test]
fn p2_a_sign_in_counts_where_its_method_is_configured_as_it_was() {
    let folder = Folder::new();
    let (one, other) = (logins(&folder), logins(&folder));
    let (login, cookie) = one.begin(new("ann", &[]), at(0)).unwrap();
    let (key, token) = one.token(&login.id, "", at(0)).unwrap();
    other.heard_all().unwrap();
    let who = other.verify(token.expose(), at(1)).unwrap();
    let set = |methods: &[(&str, &str)]| {
        let methods = methods.iter().map(|(name, words)| ((*name).into(), (*words).into()));
        other.honour("oidc:", methods.collect::<Vec<_>>());
    };
    for methods in [&[(METHOD, "otherwise")][..], &[("oidc:x", "as it is")], &[]] {
        set(methods);
        assert_eq!(other.verify(token.expose(), at(1)), Err(TokenError::Unknown));
        assert_eq!(other.recheck(&key.id, at(1)), Err(TokenError::Revoked));
        assert!(other.by_cookie(cookie.expose(), HOUR, at(1)).is_none());
        assert!(!other.is_current(&who), "a session that begins now");
        assert!(matches!(other.token(&login.id, "", at(1)), Err(LoginsError::Ended)));
    }
    // Nothing ended by that, and other kinds of methods are not touched.
    set(&[(METHOD, "as it is")]);
    other.honour("saml:", []);
    assert!(other.verify(token.expose(), at(1)).is_ok());
    assert!(one.verify(token.expose(), at(1)).is_ok());
    // What was believed under the former configuration begins nothing under the next one.
    set(&[(METHOD, "otherwise")]);
    assert!(matches!(other.begin(new("ann", &[]), at(1)), Err(LoginsError::Method)));
    other.honour("oidc:", []);
    assert!(matches!(other.begin(new("ann", &[]), at(1)), Err(LoginsError::Method)));
}

#[test]
fn p8_a_login_has_so_many_tokens() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (login, _) = logins.begin(new("ann", &[]), at(0)).unwrap();
    for _ in 0..LOGIN_TOKENS_MAX {
        logins.token(&login.id, "", at(0)).unwrap();
    }
    assert!(matches!(logins.token(&login.id, "", at(0)), Err(LoginsError::Full(..))));
}

#[test]
fn what_is_sealed_opens_for_its_purpose_and_under_its_key_only() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let sealed = logins.seal("a", "text").unwrap();
    assert_eq!(logins.unseal("a", &sealed).unwrap().expose(), "text");
    assert!(logins.unseal("b", &sealed).is_none());
    let changed = format!("{}{}", if sealed.starts_with('0') { '1' } else { '0' }, &sealed[1..]);
    for bad in [&*changed, "", "zz", &sealed[..20], &sealed[..sealed.len() - 2]] {
        assert!(logins.unseal("a", bad).is_none(), "{bad}");
    }
    let other = InstallationKey::from_bytes(&[8; 32]).unwrap();
    let other = Logins::open(registry(&folder), &other).unwrap();
    assert!(other.unseal("a", &sealed).is_none());
}

#[test]
fn a_cookie_ends_by_silence_and_with_its_sign_in_each_for_itself() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (_, cookie) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let is_in = |now| logins.by_cookie(cookie.expose(), HOUR, now).is_some();
    assert!(!is_in(at(3_600)), "silent, and not over");
    assert!([3_000, 6_000, 9_000, 9_999].iter().all(|now| is_in(at(*now))));
    assert!(!is_in(at(10_000)), "over, and not silent");
}

#[test]
fn a_sign_in_is_in_a_browser_while_that_uses_its_cookie() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (ann, _) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let (ben, cookie) = logins.begin(new("ben", &[]), at(0)).unwrap();
    logins.token(&ben.id, "", at(0)).unwrap();
    assert!(logins.is_in_a_browser(&ann.id, HOUR, at(3_599)));
    assert!(!logins.is_in_a_browser(&ann.id, HOUR, at(3_600)), "silent");
    let (_, key) = logins.by_cookie(cookie.expose(), HOUR, at(1)).unwrap();
    logins.end_key(&key.id, "signed_out").unwrap();
    assert!(!logins.is_in_a_browser(&ben.id, HOUR, at(2)), "a program has it still");
}

#[test]
fn a_code_is_changed_only_from_what_it_is_and_while_it_is_good() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let change = |before: &str, after: &str, now| {
        logins.change_by_code(Code::Device, "a", before, after, now).unwrap()
    };
    logins.put_code(Code::Device, ("a", Some("SAID")), "one", at(60), at(0)).unwrap();
    assert!(!change("other", "two", at(1)));
    assert!(change("one", "two", at(59)));
    assert!(!change("two", "three", at(60)));
    assert!(!logins.change_code("SAID", "two", "three", at(60)).unwrap());
    assert_eq!(logins.code_said("SAID", Take::Look, at(59)).unwrap().as_deref(), Some("two"));
    assert_eq!(logins.code_said("SAID", Take::Look, at(60)).unwrap(), None);
}

#[test]
fn p8_sign_ins_and_answers_that_were_taken_are_bounded_in_number() {
    let folder = Folder::new();
    let logins = logins(&folder);
    let (login, _) = logins.begin(new("ann", &[]), at(0)).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        INSERT INTO login_codes (fingerprint, kind, said, expires_at, body)
        SELECT 'x' || i, 'taken', NULL, ?1, '' FROM n";
    let filled = logins.write(|tx| tx.run(fill, &[at(90).into()])).unwrap();
    assert_eq!(filled, LOGIN_ANSWERS_MAX as u64 - 1);
    assert!(logins.take_once("a", at(90), at(1)).unwrap(), "at the limit");
    assert!(matches!(logins.take_once("b", at(90), at(1)), Err(LoginsError::Full(..))));
    assert!(logins.take_once("b", at(190), at(90)).unwrap());
    for number in 1..LOGINS_MAX {
        let mut known = logins.known.write();
        known.logins.insert(number.to_string().into(), Arc::clone(&login));
    }
    assert!(matches!(logins.begin(new("ben", &[]), at(1)), Err(LoginsError::Full(..))));
}

/// Goal: sessions end whose tokens another gateway took away or changed, however this one hears.
#[test]
fn p2_what_another_gateway_did_to_sign_ins_is_told_here() {
    for all in [true, false] {
        let folder = Folder::new();
        let (one, other) = (logins(&folder), logins(&folder));
        let heard = heard(&other);
        let begin = |who: &str| {
            let (login, _) = one.begin(new(who, &["dba"]), at(0)).unwrap();
            let key = one.token(&login.id, "", at(0)).unwrap().0;
            one.token(&login.id, "another", at(0)).unwrap();
            (login, key)
        };
        let [(changed, _), (part, ended), (gone, _), (same, _)] =
            ["ann", "ben", "cleo", "dan"].map(begin);
        let hear = || match all {
            true => other.heard_all().unwrap(),
            false => {
                [&changed, &part, &gone, &same].iter().for_each(|it| other.heard(&it.id).unwrap());
            }
        };
        hear();
        let told = |login: &Arc<Login>, why: &str| {
            let keys = one.tokens(&login.id).into_iter();
            keys.map(|key| format!("{} {why}", key.id.0)).collect::<Vec<_>>()
        };
        let mut wanted = told(&gone, "revoked");
        let renewal = Renewal { groups: groups(&["ops"]), keep: None };
        assert!(one.renew(&changed.id, renewal, at(1)).unwrap());
        one.end_key(&ended.id, "signed_out").unwrap();
        one.end(&gone.id, "signed_out").unwrap();
        wanted.extend(told(&changed, "groups_changed"));
        wanted.push(format!("{} revoked", ended.id.0));
        assert!(heard.lock().is_empty());
        hear();
        let mut heard = std::mem::take(&mut *heard.lock());
        heard.sort();
        wanted.sort();
        assert_eq!(heard, wanted, "all at once: {all}");
    }
}

#[test]
fn p2_what_another_gateway_ended_unheard_ends_when_its_provider_is_asked() {
    for renews in [true, false] {
        let folder = Folder::new();
        let logins = logins(&folder);
        let heard = heard(&logins);
        let (login, _) = logins.begin(new("ann", &[]), at(0)).unwrap();
        let (key, token) = logins.token(&login.id, "", at(0)).unwrap();
        logins.write_behind_its_back(&login.id);
        if renews {
            let renewal = Renewal { groups: Vec::new(), keep: None };
            let renewed = logins.renew(&login.id, renewal, at(1));
            assert!(matches!(renewed, Err(LoginsError::Ended)));
        } else {
            assert!(!logins.trouble(&login.id, "away", None).unwrap());
        }
        assert_eq!(*heard.lock(), [format!("{} revoked", key.id.0)]);
        assert!(logins.login(&login.id).is_none());
        assert!(logins.verify(token.expose(), at(1)).is_err());
    }
}
