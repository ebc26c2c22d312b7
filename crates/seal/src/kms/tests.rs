use super::*;
use crate::data_key::DATA_KEY_BYTES;
use crate::testing::{CONTEXT, Reply, hasty, service};

const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/0a1b";

fn options(key: &str, endpoint: &str, tries_max: u32) -> AwsKmsOptions {
    let credentials = || {
        Ok(AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("not-to-be-seen".to_owned()),
            session_token: Some(Secret::new("a-session".to_owned())),
        })
    };
    AwsKmsOptions {
        key: key.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        credentials: Box::new(credentials),
        remote: hasty(tries_max),
    }
}

fn kms(key: &str, endpoint: &str) -> AwsKms {
    AwsKms::new(options(key, endpoint, 3)).unwrap()
}

fn key() -> DataKey {
    DataKey::take(&mut [7; DATA_KEY_BYTES]).unwrap()
}

fn error(status: u16, kind: &str, message: &str) -> Reply {
    let body = serde_json::json!({ "__type": kind, "message": message });
    Reply::Status(status, body.to_string())
}

/// As "AWS Key Management Service API Reference", `Encrypt` and `Decrypt`, show them.
#[test]
fn requests_are_what_the_reference_asks_for() {
    let plain = STANDARD.encode([7; DATA_KEY_BYTES]);
    let (address, seen) = service(vec![
        Reply::Status(
            200,
            format!(
                r#"{{"CiphertextBlob":"AQID","EncryptionAlgorithm":"SYMMETRIC_DEFAULT","KeyId":"{ARN}"}}"#
            ),
        ),
        Reply::Status(200, format!(r#"{{"KeyId":"{ARN}","Plaintext":"{plain}"}}"#)),
    ]);
    let kms = kms("alias/recordings", &address);
    let wrapped = kms.wrap(&key(), &CONTEXT).unwrap();
    assert_eq!(wrapped, Wrapped { key_id: format!("aws-kms:{ARN}"), bytes: vec![1, 2, 3] });
    assert_eq!(kms.unwrap(&wrapped, &CONTEXT).unwrap().expose(), key().expose());

    let context = serde_json::json!({"narrows:gateway": "gw-1", "narrows:session": "s_0001"});
    for (target, body) in [
        (
            "TrentService.Encrypt",
            serde_json::json!({"KeyId": "alias/recordings", "Plaintext": plain, "EncryptionContext": context}),
        ),
        (
            "TrentService.Decrypt",
            serde_json::json!({"KeyId": ARN, "CiphertextBlob": "AQID", "EncryptionContext": context}),
        ),
    ] {
        let request = seen.recv().unwrap();
        assert_eq!(request.line, "POST / HTTP/1.1");
        assert_eq!(request.field("x-amz-target"), Some(target));
        assert_eq!(request.field("content-type"), Some("application/x-amz-json-1.1"));
        assert_eq!(request.field("x-amz-security-token"), Some("a-session"));
        assert_eq!(request.field("host"), address.strip_prefix("http://"));
        let authorization = request.field("authorization").unwrap();
        assert!(authorization.contains("/eu-central-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "), "{authorization}");
        assert_eq!(request.json(), body);
    }
}

/// AWS says what it would have signed, with the session's token in it.
#[test]
fn p7_no_error_repeats_what_proves_the_gateway() {
    let token = "IQoJb3JpZ2luX2VjEJr//////////wEaCWV1LXdlc3Q=";
    for said in ["the canonical string should have been x-amz-security-token:{token}", "{token}"] {
        let said = said.replace("{token}", token);
        let (address, _seen) = service(vec![error(403, "SignatureDoesNotMatch", &said)]);
        let credentials = AwsCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("not-to-be-seen".to_owned()),
            session_token: Some(Secret::new(token.to_owned())),
        };
        let credentials: AwsCredentialsSource = Box::new(move || Ok(credentials.clone()));
        let options = AwsKmsOptions { credentials, ..options(ARN, &address, 1) };
        let text = format!("{:?}", AwsKms::new(options).unwrap().wrap(&key(), &CONTEXT));
        assert!(text.contains("left out") && !text.contains("IQoJb3JpZ2lu"), "{text}");
    }
}

#[test]
fn throttling_is_tried_again_and_a_refusal_is_not() {
    let good = Reply::Status(200, format!(r#"{{"CiphertextBlob":"AQID","KeyId":"{ARN}"}}"#));
    let throttled = error(400, "ThrottlingException", "Rate exceeded");
    let (address, seen) = service(vec![throttled, error(500, "KMSInternalException", ""), good]);
    assert!(kms(ARN, &address).wrap(&key(), &CONTEXT).is_ok());
    assert_eq!(seen.iter().count(), 3);

    let denied = error(400, "AccessDeniedException", "User: arn:x is not authorized");
    let (address, seen) = service(vec![denied, error(500, "", "asked again")]);
    let failed = kms(ARN, &address).wrap(&key(), &CONTEXT).unwrap_err();
    assert_eq!(failed.blame(), crate::Blame::Operator);
    assert!(
        failed.to_string().ends_with("400 AccessDeniedException User: arn:x is not authorized")
    );
    assert!(seen.recv().is_ok() && seen.try_recv().is_err());
}

#[test]
fn a_data_key_of_another_key_or_context_is_told_apart_from_a_refusal() {
    for kind in ["InvalidCiphertextException", "com.amazonaws.kms#IncorrectKeyException"] {
        let (address, _seen) = service(vec![error(400, kind, "")]);
        let wrapped = Wrapped { key_id: format!("aws-kms:{ARN}"), bytes: vec![1] };
        let failed = kms(ARN, &address).unwrap(&wrapped, &CONTEXT).unwrap_err();
        assert_eq!(failed, SealError::NotUnwrapped { key_id: wrapped.key_id });
    }
}

#[test]
fn an_answer_about_another_key_is_not_believed() {
    let other = ARN.replace("0a1b", "0a1c");
    let plain = STANDARD.encode([7; DATA_KEY_BYTES]);
    let answer = format!(r#"{{"KeyId":"{other}","Plaintext":"{plain}","CiphertextBlob":"AQID"}}"#);
    let (address, _seen) =
        service(vec![Reply::Status(200, answer.clone()), Reply::Status(200, answer)]);
    let kms = kms(ARN, &address);
    assert!(matches!(kms.wrap(&key(), &CONTEXT), Err(SealError::Misanswered { .. })));
    let wrapped = Wrapped { key_id: format!("aws-kms:{ARN}"), bytes: vec![1] };
    let failed = kms.unwrap(&wrapped, &CONTEXT).unwrap_err();
    assert!(
        matches!(failed, SealError::Misanswered { .. }) && !failed.to_string().contains(&plain)
    );
}

#[test]
fn which_keys_open_what() {
    let id = |arn: &str| format!("aws-kms:{arn}");
    let (other, elsewhere) = (ARN.replace("0a1b", "0a1c"), ARN.replace("central", "west"));
    for (key, opens) in [
        (ARN, [true, false, false]),
        ("0a1b", [true, false, false]),
        ("alias/recordings", [true, true, false]),
        ("arn:aws:kms:eu-central-1:123456789012:alias/recordings", [true, true, false]),
    ] {
        let kms = kms(key, "http://127.0.0.1:1");
        assert_eq!([ARN, &other, &elsewhere].map(|arn| kms.opens(&id(arn))), opens, "{key}");
        assert!(!kms.opens(ARN) && !kms.opens("local:0") && kms.opens(kms.id()));
    }
}

#[test]
fn a_region_comes_from_the_arn_or_the_options() {
    let made = |key: &str, region: &str| {
        let endpoint = None;
        AwsKms::new(AwsKmsOptions { region: region.to_owned(), endpoint, ..options(key, "", 1) })
            .map(|kms| kms.remote.host().to_owned())
    };
    assert_eq!(made(ARN, "us-east-1").unwrap(), "kms.eu-central-1.amazonaws.com");
    assert_eq!(made("0a1b", "us-east-1").unwrap(), "kms.us-east-1.amazonaws.com");
    assert_eq!(made("0a1b", "cn-north-1").unwrap(), "kms.cn-north-1.amazonaws.com.cn");
    for (key, region) in [
        ("0a1b", ""),
        ("", "eu-west-1"),
        ("arn:aws:s3:::b", "eu-west-1"),
        ("a\"b", "eu-west-1"),
        ("0a1b", "x.evil.example/"),
    ] {
        assert!(matches!(made(key, region), Err(SealError::Unusable { .. })), "{key} {region}");
    }
}

#[test]
fn credentials_come_from_variables_and_are_not_printed() {
    let set = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
        ("AWS_SESSION_TOKEN", ""),
    ];
    let variable =
        |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
    let found = AwsCredentials::from_variables(variable).unwrap();
    assert_eq!((found.access_key_id.as_str(), found.session_token.is_none()), ("id", true));
    assert!(!format!("{found:?}").contains("hidden"));
    let missing = AwsCredentials::from_variables(|_| None).unwrap_err();
    assert_eq!(missing, "AWS_ACCESS_KEY_ID is not set");
}
