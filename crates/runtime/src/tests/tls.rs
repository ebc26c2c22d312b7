use std::sync::Arc;

use model::UpstreamTls;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::lab::{Lab, Plan, Talker, resource, temporary_folder, until};
use super::server::{Manner, Server};
use crate::ResourcePlan;
use crate::tls::{Authority, client_config, server_config_from};

fn authority() -> (Authority, std::path::PathBuf) {
    let folder = temporary_folder();
    (Authority::open(&folder).unwrap(), folder)
}

async fn tls_lab() -> (Lab, Server, TlsConnector) {
    let server = Server::start(Manner::Answers, None).await;
    let (authority, _) = authority();
    let mut plan = Plan::new(vec![resource(server.address)]);
    plan.server_tls = Some(authority.server_config(&[], Arc::new(|| false)).unwrap());
    let lab = Lab::new(plan).await;
    let client = client_config(UpstreamTls::VerifyFull, Some(authority.certificate_path()));
    (lab, server, TlsConnector::from(client.unwrap().unwrap()))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn a_client_may_start_tls_when_the_protocol_says_so() {
    let (lab, _server, connector) = tls_lab().await;
    let (_, token) = lab.token(None);
    let mut plain = lab.client().await;
    assert_eq!(plain.ask("STARTTLS").await, "OK");
    let stream = connector.connect(localhost(), plain.0.into_inner()).await.unwrap();
    let mut client = Talker::new(stream);
    assert!(client.ask(&format!("HELLO {token} box")).await.starts_with("READY"));
    assert_eq!(client.ask("GET a").await, "VALUE get a");
    client.say("DUMP 3000000").await;
    assert_eq!(client.hear().await.len(), 3_000_000);
    assert_eq!(client.ask("QUIT").await, "");
}

#[tokio::test]
async fn a_client_may_start_with_tls_and_name_the_protocol() {
    let (lab, _server, connector) = tls_lab().await;
    let (_, token) = lab.token(None);
    let mut config = (**connector.config()).clone();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let stream = TcpStream::connect(lab.address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(localhost(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
    let mut client = Talker::new(stream);
    assert!(client.ask(&format!("HELLO {token} box")).await.starts_with("READY"));
}

#[tokio::test]
async fn a_client_that_wants_to_speak_something_else_is_turned_away() {
    let (lab, _server, connector) = tls_lab().await;
    let mut config = (**connector.config()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(lab.address).await.unwrap();
    let result = TlsConnector::from(Arc::new(config)).connect(localhost(), stream).await;
    assert!(result.is_err());
    until("it is counted", || lab.gateway.state().refused.contains_key("client_tls")).await;
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_after_asking_for_it_is_left() {
    let (lab, _server, _) = tls_lab().await;
    let mut client = lab.client().await;
    assert_eq!(client.ask("STARTTLS").await, "OK");
    client.say("GET / HTTP/1.1\n\n").await;
    until("its place is free", || lab.gateway.state().connections == 0).await;
    assert_eq!(lab.gateway.state().refused["client_tls"], 1);
}

/// A gateway whose upstream speaks TLS with a certificate of `signer`, and which trusts `trusted`.
async fn upstream_lab(
    signer: &Authority,
    trusted: &Authority,
    tls: UpstreamTls,
    host: &str,
) -> (Lab, Server) {
    let config = signer.server_config(&[], Arc::new(|| false)).unwrap();
    let server = Server::start(Manner::Answers, Some(config)).await;
    let plan = ResourcePlan {
        tls,
        host: host.to_owned(),
        ca_file: Some(trusted.certificate_path().to_owned()),
        ..resource(server.address)
    };
    (Lab::new(Plan::new(vec![plan])).await, server)
}

#[tokio::test]
async fn an_upstream_with_a_trusted_certificate_is_used() {
    let (ours, _) = authority();
    for host in ["127.0.0.1", "localhost"] {
        let (lab, server) = upstream_lab(&ours, &ours, UpstreamTls::VerifyFull, host).await;
        let (mut client, _) = lab.session().await;
        assert_eq!(client.ask("GET a").await, "VALUE get a");
        assert_eq!(server.lines(), ["GET a"]);
    }
}

#[tokio::test]
async fn p7_an_upstream_with_a_certificate_of_someone_else_is_refused() {
    let (ours, _) = authority();
    let (theirs, _) = authority();
    let (lab, server) = upstream_lab(&theirs, &ours, UpstreamTls::VerifyFull, "127.0.0.1").await;
    let (_, token) = lab.token(None);
    let mut client = lab.client().await;
    let answer = client.ask(&format!("HELLO {token} box")).await;
    let words = "the gateway does not trust the resource's TLS; tell its operator";
    assert_eq!(answer, format!("ERR upstream_tls: {words}"));
    assert_eq!(client.hear().await, "");
    until("it is recorded", || lab.ends() == ["upstream_tls"]).await;
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn an_upstream_with_a_certificate_for_another_host_is_refused() {
    let (ours, _) = authority();
    // Reaches the same server; 127.0.0.2 is not in its certificate.
    let config = ours.server_config(&[], Arc::new(|| false)).unwrap();
    let server = Server::start(Manner::Answers, Some(config)).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.2", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = server.address;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let mut to = TcpStream::connect(target).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    let plan = ResourcePlan {
        tls: UpstreamTls::VerifyFull,
        ca_file: Some(ours.certificate_path().to_owned()),
        ..resource(address)
    };
    let lab = Lab::new(Plan::new(vec![plan])).await;
    let (_, token) = lab.token(None);
    let answer = lab.client().await.ask(&format!("HELLO {token} box")).await;
    assert!(answer.starts_with("ERR upstream_tls: "), "{answer}");
}

#[tokio::test]
async fn require_encrypts_without_asking_whose_certificate_it_is() {
    let (ours, _) = authority();
    let (theirs, _) = authority();
    let (lab, _server) = upstream_lab(&theirs, &ours, UpstreamTls::Require, "127.0.0.1").await;
    let (mut client, _) = lab.session().await;
    assert_eq!(client.ask("GET a").await, "VALUE get a");
}

#[test]
fn an_authority_is_made_once_and_its_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (first, folder) = authority();
    let pem = std::fs::read_to_string(first.certificate_path()).unwrap();
    let again = Authority::open(&folder).unwrap();
    assert_eq!(pem, std::fs::read_to_string(again.certificate_path()).unwrap());
    let key = folder.join("ca/ca.key");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Authority::open(&folder).err().unwrap().to_string();
    assert!(error.contains("can be read by others (mode 644)"), "{error}");
    std::fs::remove_file(&key).unwrap();
    let error = Authority::open(&folder).err().unwrap().to_string();
    assert!(error.contains("ca.key: missing, although"), "{error}");
}

#[test]
fn a_certificate_from_files_is_checked_when_it_is_loaded() {
    let folder = temporary_folder();
    let (cert, key) = (folder.join("gw.pem"), folder.join("gw.key"));
    let made = rcgen::generate_simple_self_signed(vec!["gw.example".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    assert!(server_config_from(&cert, &key, Arc::new(|| false)).is_ok());
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&key, other.serialize_pem()).unwrap();
    assert!(
        server_config_from(&cert, &key, Arc::new(|| false)).is_err(),
        "the key is another certificate's"
    );
    std::fs::write(&cert, "nothing").unwrap();
    let error = server_config_from(&cert, &key, Arc::new(|| false)).err().unwrap().to_string();
    assert!(error.contains("holds no PEM certificate"), "{error}");
    let error = server_config_from(&folder.join("none"), &key, Arc::new(|| false))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("none"), "{error}");
}
