//! Whom a certificate stands for, and whom it must not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{PrincipalKind, TokenId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use store::NewToken;

use super::fetching::proofs;
use super::provider::*;
use crate::certificate::{
    CertificateFault, CertificatePlan, Judge, SubjectFrom, check_certificates, is_trust_domain_name,
};
use crate::proofs::{NotProved, Proof};

const DOMAIN: &str = "spiffe://acme.example";
const ID: &str = "spiffe://acme.example/agents/7";

/// An authority that signs what it is asked to.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// One that this one vouches for, and its certificate.
    fn under(&self) -> (Self, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::OrganizationName, "one below");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (Self { issuer: Issuer::new(params, key), pem: signed.pem() }, signed.der().clone())
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        (params.not_before, params.not_after) =
            (date_time_ymd(2025, 12, 1), date_time_ymd(2026, 2, 1));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(SerialNumber::from(7_u64));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    /// A list of what it revoked, good until a day of 2026.
    fn list(&self, revoked: &[u64], (month, day): (u8, u8)) -> Vec<u8> {
        let revoked = revoked.iter().map(|number| RevokedCertParams {
            serial_number: SerialNumber::from(*number),
            revocation_time: date_time_ymd(2025, 12, 2),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 12, 2),
            next_update: date_time_ymd(2026, month, day),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap().into_bytes()
    }

    fn plan(&self, issuer: &str) -> CertificatePlan {
        CertificatePlan {
            issuer: issuer.to_owned(),
            roots: self.pem.clone().into_bytes(),
            revoked: None,
            subject_from: SubjectFrom::Uri,
            subject_prefix: String::new(),
            groups: vec!["agents".to_owned()],
            kind: PrincipalKind::Agent,
        }
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn judge(plan: CertificatePlan, leaf: &CertificateDer<'static>) -> Result<String, String> {
    let judged = Judge::new(plan).unwrap().judge(std::slice::from_ref(leaf), now());
    judged.map(|who| who.subject.to_string()).map_err(|fault| fault.to_string())
}

#[test]
fn a_certificate_names_its_subject_by_the_one_name_that_is_wanted() {
    let authority = Authority::new();
    let leaf = authority.sign(|params| {
        params.subject_alt_names = vec![uri("urn:job:7"), dns("job-7.example")];
        params.distinguished_name.push(DnType::CommonName, "job 7");
    });
    for (from, subject) in [
        (SubjectFrom::Uri, "x:urn:job:7"),
        (SubjectFrom::Dns, "x:job-7.example"),
        (SubjectFrom::CommonName, "x:job 7"),
    ] {
        let mut plan = authority.plan("corp");
        (plan.subject_from, plan.subject_prefix) = (from, "x:".to_owned());
        assert_eq!(judge(plan, &leaf).as_deref(), Ok(subject));
    }
    let mut plan = authority.plan("corp");
    plan.subject_from = SubjectFrom::Email;
    assert!(judge(plan, &leaf).unwrap_err().contains("0 names where its subject should stand"));
    let two = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a"), uri("urn:b")]);
    assert!(judge(authority.plan("corp"), &two).unwrap_err().contains("2 names"));
    let who = Judge::new(authority.plan("corp")).unwrap().judge(&[leaf], now()).unwrap();
    assert_eq!((&*who.groups, who.kind), (&["agents".into()][..], PrincipalKind::Agent));
    assert!(who.token.unwrap().0.starts_with("crt_"));
}

#[test]
fn p2_what_is_not_vouched_for_now_and_for_clients_stands_for_nobody() {
    let authority = Authority::new();
    let named = |params: &mut CertificateParams| params.subject_alt_names = vec![uri("urn:a")];
    let plan = || authority.plan("corp");
    assert!(judge(plan(), &authority.sign(named)).is_ok());
    let refused = |leaf: CertificateDer<'static>| judge(plan(), &leaf).unwrap_err();
    assert!(refused(Authority::new().sign(named)).contains("not vouched for by corp"));
    let late = authority.sign(|params| {
        named(params);
        params.not_after = date_time_ymd(2025, 12, 31);
    });
    assert_eq!(refused(late), "it has expired");
    let early = authority.sign(|params| {
        named(params);
        params.not_before = date_time_ymd(2026, 1, 2);
    });
    assert!(refused(early).contains("not vouched for"));
    let server = authority.sign(|params| {
        named(params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(refused(server).contains("not vouched for"));
    assert!(matches!(
        Judge::new(plan()).unwrap().judge(&[], now()),
        Err(CertificateFault::Malformed(_))
    ));
    assert!(refused(CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])).contains("not vouched for"));
}

#[test]
fn p2_who_may_be_nobody_is_no_subject_and_the_last_second_is_good() {
    let authority = Authority::new();
    let mut plan = authority.plan("corp");
    plan.subject_from = SubjectFrom::CommonName;
    let named = |name: &str| {
        let leaf = authority.sign(|params| {
            params.distinguished_name.push(DnType::CommonName, name);
        });
        judge(plan.clone(), &leaf)
    };
    assert_eq!(named("job 7").as_deref(), Ok("job 7"));
    for name in [" job", "a\u{202e}b", &"x".repeat(257)] {
        let why = named(name).unwrap_err();
        assert!(why.contains("a name that is"), "{name}: {why}");
    }
    let leaf = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let who = Judge::new(authority.plan("corp")).unwrap().judge(&[leaf], now()).unwrap();
    assert_eq!(who.expires_at, Some(at(NOW_S + 31 * 24 * 3_600 + 1)));
}

#[test]
fn p8_so_many_certificates_of_a_chain_are_looked_at() {
    let authority = Authority::new();
    let (between, certificate) = authority.under();
    let leaf = between.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let with = |strangers: usize| {
        let mut chain = vec![leaf.clone()];
        chain.extend((0..strangers).map(|_| Authority::new().sign(|_| {})));
        chain.push(certificate.clone());
        Judge::new(authority.plan("corp")).unwrap().judge(&chain, now()).is_ok()
    };
    assert!(with(0) && with(7));
    assert!(!with(8));
}

#[test]
fn a_bundle_of_a_trust_domain_says_what_each_of_its_keys_is_for() {
    let (one, other) = (Authority::new(), Authority::new());
    let x5c = |of: &Authority| {
        let der = CertificateDer::from_pem_slice(of.pem.as_bytes()).unwrap();
        vec![STANDARD.encode(der)]
    };
    let bundle = |keys: Value| CertificatePlan {
        roots: json!({"keys": keys}).to_string().into_bytes(),
        ..one.plan(DOMAIN)
    };
    let both = json!([
        {"use": "jwt-svid", "x5c": x5c(&other)},
        {"use": "x509-svid", "x5c": x5c(&one)},
    ]);
    let svid = |of: &Authority| of.sign(|params| params.subject_alt_names = vec![uri(ID)]);
    assert_eq!(judge(bundle(both.clone()), &svid(&one)).as_deref(), Ok(ID));
    assert!(judge(bundle(both), &svid(&other)).unwrap_err().contains("not vouched for"));
    let none = bundle(json!([{"use": "jwt-svid", "x5c": x5c(&one)}]));
    assert!(check_certificates(&none).unwrap_err().contains("no certificate to believe"));
    for (name, fine) in [
        ("acme.example", true),
        ("a_b-c.1", true),
        (&*"a".repeat(255), true),
        (&*"a".repeat(256), false),
        ("", false),
        ("Acme", false),
        ("a/b", false),
        ("a:1", false),
    ] {
        assert_eq!(is_trust_domain_name(name), fine, "{name}");
    }
}

#[test]
fn p2_a_list_of_what_was_revoked_counts_and_one_that_is_out_of_date_refuses_all() {
    let authority = Authority::new();
    let leaf = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let with = |list: Vec<u8>| CertificatePlan { revoked: Some(list), ..authority.plan("corp") };
    assert!(judge(with(authority.list(&[8], (2, 1))), &leaf).is_ok());
    let revoked = judge(with(authority.list(&[7, 8], (2, 1))), &leaf).unwrap_err();
    assert_eq!(revoked, "corp revoked it");
    let old = Authority::list(&authority, &[], (1, 1));
    assert!(judge(with(old), &leaf).is_err(), "its next one was due at this very time");
    let anothers = judge(with(Authority::new().list(&[], (2, 1))), &leaf);
    assert!(anothers.is_err(), "a list that does not know of it");
    let below = authority.under().0.list(&[], (2, 1));
    assert!(judge(with(below), &leaf).is_err(), "one of another name");
}

#[test]
fn p2_an_authority_between_that_was_revoked_vouches_for_nobody() {
    let root = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "between");
    params.serial_number = Some(SerialNumber::from(9_u64));
    let between = params.signed_by(&key, &root.issuer).unwrap();
    let between_pem = between.pem();
    let authority = Authority { issuer: Issuer::new(params, key), pem: between_pem };
    let leaf = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let chain = [leaf, between.der().clone()];
    let with = |revoked: &[u64]| {
        let lists = [root.list(revoked, (2, 1)), authority.list(&[], (2, 1))].concat();
        let plan = CertificatePlan { revoked: Some(lists), ..root.plan("corp") };
        Judge::new(plan).unwrap().judge(&chain, now()).map(|who| who.subject.to_string())
    };
    assert_eq!(with(&[]).as_deref(), Ok("urn:a"));
    assert_eq!(with(&[9]), Err(CertificateFault::Revoked("corp".to_owned())));
    let alone = CertificatePlan { revoked: Some(root.list(&[], (2, 1))), ..root.plan("corp") };
    assert!(Judge::new(alone).unwrap().judge(&chain, now()).is_err(), "the leaf is on no list");
}

#[test]
fn p2_no_certificate_is_of_the_holder_of_the_admin_token() {
    let authority = Authority::new();
    for name in ["admin.token", "Admin.Token"] {
        let leaf =
            authority.sign(|params| params.distinguished_name.push(DnType::CommonName, name));
        let mut plan = authority.plan("corp");
        plan.subject_from = SubjectFrom::CommonName;
        assert!(judge(plan, &leaf).unwrap_err().contains("holder of the admin token"), "{name}");
    }
}

#[test]
fn p2_an_svid_is_one_uri_of_its_domain_and_a_key_for_signatures() {
    let authority = Authority::new();
    let svid = |change: &dyn Fn(&mut CertificateParams)| {
        let leaf = authority.sign(|params| {
            params.subject_alt_names = vec![uri(ID)];
            change(params);
        });
        judge(authority.plan(DOMAIN), &leaf)
    };
    assert_eq!(svid(&|_| {}).as_deref(), Ok(ID));
    assert_eq!(svid(&|params| params.subject_alt_names.push(dns("a.b"))).as_deref(), Ok(ID));
    let names = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| uri(name)).collect();
        svid(&move |params| params.subject_alt_names.clone_from(&names)).unwrap_err()
    };
    assert!(names(&[ID, "urn:x"]).contains("exactly one URI"));
    assert!(names(&[]).contains("exactly one URI"));
    assert!(names(&["spiffe://other.example/agents/7"]).contains("another trust domain"));
    assert!(names(&["spiffe://acme.example.evil/agents/7"]).contains("another trust domain"));
    for path in ["spiffe://acme.example", "https://acme.example/agents/7"] {
        assert!(names(&[path]).contains("not spiffe://DOMAIN/PATH"), "{path}");
    }
    for path in ["/", "/a//b", "/a/", "/../a", "/./a", "/a%20b", "/a?b", "/a#b"] {
        let words = names(&[&format!("{DOMAIN}{path}")]);
        assert!(words.contains("path is not one of a SPIFFE ID"), "{path}: {words}");
    }
    let long = |bytes: usize| format!("{DOMAIN}/{}", "a".repeat(bytes - DOMAIN.len() - 1));
    assert!(names(&[&long(2_049)]).contains("path is not one of a SPIFFE ID"));
    let other = svid(&|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert!(other.unwrap_err().contains("not for signatures alone"));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let words = svid(&|params| params.key_usages.push(usage)).unwrap_err();
        assert!(words.contains("not for signatures alone"), "{words}");
    }
    assert!(svid(&|params| params.key_usages.clear()).unwrap_err().contains("no key usage"));
    let signer = svid(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(signer.is_err(), "{signer:?}");
}

#[test]
fn p2_a_token_and_a_certificate_are_of_one_subject_and_end_with_either() {
    let authority = Authority::new();
    let leaf = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let proofs = proofs();
    proofs.believe_certificates(vec![authority.plan("corp")]).unwrap();
    let token = |subject: &str| {
        let new = NewToken {
            subject: subject.to_owned(),
            groups: vec!["dba".to_owned()],
            kind: PrincipalKind::Service,
            ttl: None,
            minted_by: None,
        };
        proofs.tokens().create(new, now()).unwrap()
    };
    let prove = |token: &str| {
        let chain = std::slice::from_ref(&leaf);
        match proofs.prove_either(token, chain, true, now()) {
            Proof::Done(proved) => proved,
            Proof::Later(_) => unreachable!("nobody has to be asked"),
        }
    };
    let alone = prove("").unwrap();
    assert_eq!((&*alone.subject, &*alone.issuer), ("urn:a", "corp"));
    assert_eq!(alone.certificate, None);
    let (record, secret) = token("urn:a");
    let who = prove(secret.expose()).unwrap();
    assert_eq!((&*who.issuer, who.kind), (store::ISSUER, PrincipalKind::Service));
    assert_eq!(who.expires_at, alone.expires_at, "the earlier end");
    let certificate = alone.token.clone().unwrap();
    let rests_on: Vec<&TokenId> = who.credentials().collect();
    assert_eq!(rests_on, [&record.id, &certificate]);
    let (_, other) = token("urn:b");
    let mismatch = prove(other.expose()).unwrap_err();
    assert!(matches!(mismatch, NotProved::Certificate(CertificateFault::Mismatch(..))));
    assert_eq!(prove("nrw_guess").unwrap_err(), NotProved::Unknown);
    let stranger = Authority::new().sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    match proofs.prove_either(secret.expose(), &[stranger], true, now()) {
        Proof::Done(proved) => assert!(matches!(proved, Err(NotProved::Certificate(_)))),
        Proof::Later(_) => unreachable!("nobody has to be asked"),
    }
    assert_eq!(proofs.recheck(&alone, now()), Ok(()));
    let end = alone.expires_at.unwrap();
    assert_eq!(proofs.recheck(&alone, end), Err(NotProved::Expired));
    // Without either it stands for nobody.
    assert_eq!(proofs.recheck(&who, now()), Ok(()));
    proofs.tokens().deny(&certificate, "urn:a", now()).unwrap();
    assert_eq!(proofs.recheck(&who, now()), Err(NotProved::Revoked));
    assert_eq!(proofs.recheck(&alone, now()), Err(NotProved::Revoked));
    assert_eq!(prove(secret.expose()).unwrap_err(), NotProved::Revoked);
    let again = authority.sign(|params| params.subject_alt_names = vec![uri("urn:a")]);
    let fresh = match proofs.prove_either(secret.expose(), &[again], true, now()) {
        Proof::Done(proved) => proved.unwrap(),
        Proof::Later(_) => unreachable!("nobody has to be asked"),
    };
    assert_eq!(proofs.recheck(&fresh, now()), Ok(()));
    assert_eq!(proofs.believe_certificates(Vec::new()).unwrap(), ["corp"]);
    assert_eq!(proofs.recheck(&fresh, now()), Err(NotProved::Revoked));
}

/// Goal: a token whose issuer has to be asked first is held to the certificate, too.
#[test]
fn p2_a_token_of_an_issuer_and_a_certificate_are_of_one_subject() {
    let (provider, signer, authority) = (Provider::start(), Signer::ec(), Authority::new());
    provider.keys.lock().push(signer.jwk("k1"));
    let proofs = proofs();
    proofs.believe(vec![provider.plan()]).unwrap();
    proofs.believe_certificates(vec![authority.plan("corp")]).unwrap();
    let token = signer.token("k1", &provider.claims());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let prove = |name: &str| {
        let leaf = authority.sign(|params| params.subject_alt_names = vec![uri(name)]);
        match proofs.prove_either(&token, &[leaf], true, now()) {
            Proof::Done(proved) => proved,
            Proof::Later(pending) => tokio.block_on(pending),
        }
    };
    let mismatch = prove("urn:a").unwrap_err();
    assert!(matches!(mismatch, NotProved::Certificate(CertificateFault::Mismatch(..))));
    let who = prove("robot").unwrap();
    assert_eq!(proofs.recheck(&who, now()), Ok(()));
    proofs.tokens().deny(&who.token.clone().unwrap(), "robot", now()).unwrap();
    assert_eq!(proofs.recheck(&who, now()), Err(NotProved::Revoked));
    assert_eq!(prove("robot").unwrap_err(), NotProved::Revoked);
    let changed = proofs.believe(Vec::new()).unwrap();
    assert_eq!(changed, std::slice::from_ref(&provider.issuer));
    assert_eq!(prove("robot").unwrap_err(), NotProved::Unknown);
}
