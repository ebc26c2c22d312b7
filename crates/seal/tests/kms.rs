//! AWS KMS as moto serves it, with moto checking signatures and permissions as IAM would.

#![cfg(test)]

mod servers;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use model::text::Secret;
use seal::{
    AwsCredentials, AwsKms, AwsKmsOptions, KeyContext, KeyEncryption, Keys, Place, RemoteOptions,
    SealError, SegmentKeys, Wrapped,
};

const CONTEXT: KeyContext<'_> = KeyContext { gateway: "gw-1", session: "s_0001" };

/// Makes two keys, an alias of the first, a user that may use both and one that may only encrypt;
/// then has moto check signatures and permissions.
const SET_UP: &str = r#"
import boto3, json, sys, urllib.request
url = sys.argv[1]
aws = dict(endpoint_url=url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
kms, iam = boto3.client("kms", **aws), boto3.client("iam", **aws)
keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
kms.create_alias(AliasName="alias/recordings", TargetKeyId=keys[0])
def user(name, actions):
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return [made["AccessKeyId"], made["SecretAccessKey"]]
reader = user("reader", ["kms:Encrypt", "kms:Decrypt", "kms:UpdateAlias"])
writer = user("writer", ["kms:Encrypt"])
urllib.request.urlopen(urllib.request.Request(url + "/moto-api/reset-auth", data=b"0", headers={"content-type": "text/plain"}))
print(" ".join(keys + reader + writer))
"#;

/// Moves the alias to a key.
const MOVE: &str = r#"
import boto3, sys
url, key, id, secret = sys.argv[1:]
kms = boto3.client("kms", endpoint_url=url, region_name="eu-central-1", aws_access_key_id=id, aws_secret_access_key=secret)
kms.update_alias(AliasName="alias/recordings", TargetKeyId=key)
"#;

struct Moto {
    _server: servers::Server,
    python: std::path::PathBuf,
    url: String,
    keys: [String; 2],
    reader: [String; 2],
    writer: [String; 2],
}

impl Moto {
    fn start() -> Self {
        let environment = servers::environment();
        let mut command = Command::new(environment.join("bin/moto_server"));
        let (server, line) =
            servers::start(command.args(["-H", "127.0.0.1", "-p", "0"]), "Running on");
        let url = line.split("Running on ").nth(1).unwrap().trim().to_owned();
        let python = environment.join("bin/python");
        let said = run(&python, &["-c", SET_UP, &url]);
        let said: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
        let [first, second, reader, reader_secret, writer, writer_secret] =
            said.try_into().unwrap();
        Self {
            _server: server,
            python,
            url,
            keys: [first, second],
            reader: [reader, reader_secret],
            writer: [writer, writer_secret],
        }
    }

    fn kms(&self, key: &str, [id, secret]: &[String; 2]) -> AwsKms {
        let (id, secret) = (id.clone(), secret.clone());
        let credentials = move || {
            Ok(AwsCredentials {
                access_key_id: id.clone(),
                secret_access_key: Secret::new(secret.clone()),
                session_token: None,
            })
        };
        AwsKms::new(AwsKmsOptions {
            key: key.to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(self.url.clone()),
            credentials: Box::new(credentials),
            remote: RemoteOptions {
                timeout: Duration::from_secs(60),
                tries_max: 1,
                ..RemoteOptions::default()
            },
        })
        .unwrap()
    }
}

fn run(python: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new(python).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One data key, wrapped.
fn wrapped_by(kms: &Arc<AwsKms>) -> Wrapped {
    let mut segment = SegmentKeys::new(CONTEXT.gateway, 1);
    segment.fresh(CONTEXT.session, None, &Keys::new(kms.clone())).unwrap();
    segment.entries().next().unwrap().wrapped.clone()
}

#[test]
fn data_keys_go_through_kms_and_back() {
    let moto = Moto::start();
    for name in ["alias/recordings", &moto.keys[0], moto.keys[0].rsplit('/').next().unwrap()] {
        let keys = Keys::new(Arc::new(moto.kms(name, &moto.reader)));
        let mut segment = SegmentKeys::new("gw-1", 1);
        let place = Place { gateway: "gw-1", session: "s_ü", record: 1, column: 1 };
        let sealed = segment.fresh("s_ü", None, &keys).unwrap().seal(&place, b"select 1").unwrap();
        segment.fresh("", None, &keys).unwrap();
        let read = SegmentKeys::parse(&segment.to_json().unwrap()).unwrap();
        assert_eq!(read.open("s_ü", &keys).unwrap().open(&place, &sealed).unwrap(), b"select 1");
        assert!(read.open("", &keys).is_ok());
        let named = read.entries().next().unwrap().wrapped.key_id.clone();
        assert_eq!(named, format!("aws-kms:{}", moto.keys[0]));
    }

    // The alias moves on; what the former key wrapped still opens, and can be brought over.
    let keys = Keys::new(Arc::new(moto.kms("alias/recordings", &moto.reader)));
    let mut segment = SegmentKeys::new("gw-1", 1);
    segment.fresh("s", None, &keys).unwrap();
    let [id, secret] = &moto.reader;
    run(&moto.python, &["-c", MOVE, &moto.url, &moto.keys[1], id, secret]);
    assert!(segment.open("s", &keys).is_ok());
    let newest = keys.newest(&CONTEXT).unwrap();
    let anew = segment.rewraps(&keys, &newest).unwrap();
    assert_eq!(segment.take(&anew), 1);
    assert_eq!(segment.rewraps(&keys, &newest).unwrap().newest, 1, "nothing is left to do");
    let named = segment.entries().next().unwrap().wrapped.key_id.clone();
    assert_eq!(named, format!("aws-kms:{}", moto.keys[1]));
    assert!(segment.open("s", &keys).is_ok());
}

#[test]
fn what_kms_refuses_is_refused_and_told() {
    let moto = Moto::start();
    let kms = Arc::new(moto.kms(&moto.keys[0], &moto.reader));
    let wrapped = wrapped_by(&kms);
    assert!(kms.unwrap(&wrapped, &CONTEXT).is_ok());
    let not = SealError::NotUnwrapped { key_id: wrapped.key_id.clone() };
    let refused = |wrapped: &Wrapped, context| kms.unwrap(wrapped, context).unwrap_err();
    assert_eq!(refused(&wrapped, &KeyContext { session: "s_0002", ..CONTEXT }), not);
    assert_eq!(refused(&wrapped, &KeyContext { gateway: "gw-2", ..CONTEXT }), not);
    let mut changed = wrapped.clone();
    *changed.bytes.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&changed, &CONTEXT), not);

    // Said to be of the other key. AWS calls that `IncorrectKeyException`; moto says access denied.
    let key_id = format!("aws-kms:{}", moto.keys[1]);
    let other = moto.kms(&moto.keys[1], &moto.reader);
    let moved = Wrapped { key_id, ..wrapped.clone() };
    let denied = other.unwrap(&moved, &CONTEXT).unwrap_err();
    assert!(denied.to_string().contains("AccessDenied"), "{denied}");

    let writer = Arc::new(moto.kms(&moto.keys[0], &moto.writer));
    let theirs = wrapped_by(&writer);
    let denied = writer.unwrap(&theirs, &CONTEXT).unwrap_err();
    assert_eq!(denied.blame(), seal::Blame::Operator);
    assert!(denied.to_string().contains("AccessDenied"), "{denied}");
    assert!(kms.unwrap(&theirs, &CONTEXT).is_ok());

    // moto computes the signature itself: a wrong secret shows that it looks.
    let [id, _] = moto.reader.clone();
    let forged = moto.kms(&moto.keys[0], &[id, "wrong".to_owned()]);
    let denied = forged.unwrap(&wrapped, &CONTEXT).unwrap_err();
    assert_eq!(denied.blame(), seal::Blame::Operator);
    assert!(denied.to_string().to_lowercase().contains("signature"), "{denied}");
}
