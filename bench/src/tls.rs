//! TLS that is opened on the way: a proxy that decrypts and encrypts again and does nothing else,
//! and the gateway as the way out, in front of an origin that speaks nothing but TLS.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::bodies;
use crate::http::{CONNECTIONS, Folder, RULES, nginx};
use crate::places::{address, gateway_program, is_open, start_gateway};
use crate::process::{Account, Process, Processors, command};
use crate::report::Aim;
use crate::stats::median;

const ORIGIN: u16 = 21_450;
const COPY: u16 = 21_451;
const EGRESS: u16 = 21_452;
const ADMIN: u16 = 21_453;
const MITMPROXY: u16 = 21_454;
/// What the origin is called, by its certificate.
const NAME: &str = "origin.test";

/// A way to the origin.
struct Way {
    name: &'static str,
    port: u16,
    /// Certificates to trust there.
    trusted: PathBuf,
    /// Where the way is a proxy: what it must be shown.
    token: Option<String>,
}

/// One file over one way, every round.
#[derive(Default)]
struct Measured {
    requests: Vec<f64>,
    megabytes: Vec<f64>,
    micros: Vec<f64>,
}

/// A line of the table: its unit, and where its values are.
type Line = (&'static str, fn(&Measured) -> &[f64]);

/// Measures, and gives the section of the page.
pub fn measure(rounds: usize, seconds: u32) -> Result<(String, Vec<Aim>)> {
    let folder = Folder::make("tls")?;
    let sizes = [("1 KiB", "small.json", 1024_usize), ("1 MiB", "large.json", 1 << 20)];
    fs::create_dir_all(folder.path().join("files"))?;
    for (_, file, bytes) in sizes {
        fs::write(folder.path().join("files").join(file), bodies::records(bytes))?;
    }
    let [ca, certificate, key] = certificates(folder.path())?;
    let server = format!(
        "server {{ listen 127.0.0.1:{ORIGIN} ssl; ssl_certificate {}; ssl_certificate_key {}; \
         keepalive_requests 100000000; root {}; types {{ application/json json; }} }}",
        certificate.display(),
        key.display(),
        folder.path().join("files").display()
    );
    let _origin = nginx(folder.path(), "tls-origin", ORIGIN, &server)?;
    let own = std::env::current_exe()?.display().to_string();
    let mut copy = command(&own, Processors::All, Account::Own)?;
    copy.args(["recrypt", "--listen", &address(COPY), "--to", &address(ORIGIN)]);
    copy.arg("--folder").arg(folder.path());
    let mut copy = Process::start("TLS copy", "-TERM", &folder.path().join("copy.log"), copy)?;
    copy.wait_until(|| is_open(COPY))?;
    let configuration = format!(
        "data_dir: {0}/var\nlisten:\n  admin: {1}\n  egress: {2}\nresources:\n  internet:\n    \
         type: egress\n    ca: {{ file: \"{3}\" }}\n    hosts: {{ {NAME}: \"{4}\" }}\naccess:\n  \
         - {{ groups: [agents], resources: [internet] }}\nrules:\n{RULES}",
        folder.path().join("narrows").display(),
        address(ADMIN),
        address(EGRESS),
        ca.display(),
        address(ORIGIN),
    );
    let narrows = folder.path().join("narrows");
    fs::create_dir_all(&narrows)?;
    let (gateway, token) = start_gateway(
        &gateway_program()?,
        "narrows",
        &narrows,
        &configuration,
        (ADMIN, Processors::All),
        &[],
    )?;
    let local = narrows.join("var/ca/ca.pem");
    let way =
        |name, port, trusted: &Path, token| Way { name, port, trusted: trusted.into(), token };
    let ways = [
        way("direct", ORIGIN, &ca, None),
        way("TLS copy", COPY, &ca, None),
        way("narrows", EGRESS, &local, Some(token)),
    ];
    let mitmproxy = mitmproxy(folder.path())?;
    let ways: Vec<Way> = ways
        .into_iter()
        .chain(mitmproxy.as_ref().map(|(_, trusted)| way("mitmproxy", MITMPROXY, trusted, None)))
        .collect();
    let processes = [None, Some(&copy), Some(&gateway), mitmproxy.as_ref().map(|(proxy, _)| proxy)];
    let mut results: Vec<Vec<Measured>> =
        sizes.iter().map(|_| ways.iter().map(|_| Measured::default()).collect()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for round in 0..rounds {
        for ((size, file, _), results) in sizes.iter().zip(&mut results) {
            for turn in 0..ways.len() {
                let at = (turn + round) % ways.len();
                let (Some(way), Some(measured)) = (ways.get(at), results.get_mut(at)) else {
                    continue;
                };
                let process = processes.get(at).copied().flatten();
                let load = runtime.block_on(load(way, file, seconds, process))?;
                measured.requests.push(load.requests);
                measured.megabytes.push(load.bytes / 1e6);
                measured.micros.extend(load.micros);
                let said = format!("{:.0} requests/s, {:.0} MB/s", load.requests, load.bytes / 1e6);
                eprintln!("round {round}, {size}, {}: {said}", way.name);
            }
        }
    }
    let ratio = |size: usize, of: fn(&Measured) -> &[f64]| {
        let value = |way: usize| median(of(results.get(size)?.get(way)?));
        Some(value(2)? / value(1).filter(|value| *value > 0.0)?)
    };
    let aims = vec![
        Aim::at_least(
            "TLS that is opened, 1 KiB: requests/s against TLS copy",
            0.7,
            ratio(0, |measured| &measured.requests),
        ),
        Aim::at_least(
            "TLS that is opened, 1 MiB: MB/s against TLS copy",
            0.7,
            ratio(1, |measured| &measured.megabytes),
        ),
    ];
    Ok((section(&ways, &sizes, &results)?, aims))
}

fn section(
    ways: &[Way],
    sizes: &[(&str, &str, usize)],
    results: &[Vec<Measured>],
) -> Result<String> {
    let mut text = format!(
        "\n### Through TLS that is opened\n\nThe same files from an origin that speaks TLS; \
         {CONNECTIONS} connections, kept open, from one thread. «TLS copy» decrypts and encrypts \
         again (tokio, rustls) and does nothing else; the gateway is the clients' proxy and opens \
         their tunnels, with the rules and the recording above. mitmproxy is their server and \
         opens what it gets. In brackets: against TLS copy.\
         \n\n| |"
    );
    for way in ways {
        write!(text, " {} |", way.name)?;
    }
    writeln!(text, "\n| ---{} |", " | ---".repeat(ways.len()))?;
    let middle = |values: &[f64]| median(values).unwrap_or_default();
    for ((size, ..), row) in sizes.iter().zip(results) {
        let lines: [Line; 3] = [
            ("requests/s", |measured| &measured.requests),
            ("MB/s", |measured| &measured.megabytes),
            ("µs of processor", |measured| &measured.micros),
        ];
        for (unit, values) in lines {
            write!(text, "| {size}: {unit} |")?;
            let all: Vec<f64> = row.iter().map(|measured| middle(values(measured))).collect();
            for (way, value) in ways.iter().zip(&all) {
                let compared = (!["direct", "TLS copy"].contains(&way.name)).then_some(());
                match (value, all.get(1), compared) {
                    (value, ..) if *value <= 0.0 => text.push_str(" – |"),
                    (value, Some(copy), Some(_)) => {
                        write!(text, " {value:.0} ({:.2}) |", value / copy)?;
                    }
                    (value, ..) => write!(text, " {value:.0} |")?,
                }
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// mitmproxy, where it is installed, and the authority that it makes for itself.
fn mitmproxy(folder: &Path) -> Result<Option<(Process, PathBuf)>> {
    let program = "/usr/bin/mitmdump";
    if !Path::new(program).exists() {
        eprintln!("mitmproxy is not installed (Debian: mitmproxy): not measured");
        return Ok(None);
    }
    let own = folder.join("mitmproxy");
    fs::create_dir_all(&own)?;
    let mut proxy = command(program, Processors::All, Account::Own)?;
    proxy.args(["-q", "--mode", &format!("reverse:https://{}", address(ORIGIN))]);
    proxy.args(["--listen-host", "127.0.0.1", "--listen-port", &MITMPROXY.to_string()]);
    proxy.args(["--ssl-insecure", "--set", &format!("confdir={}", own.display())]);
    let mut proxy = Process::start("mitmproxy", "-TERM", &folder.join("mitmproxy.log"), proxy)?;
    let trusted = own.join("mitmproxy-ca-cert.pem");
    proxy.wait_until(|| trusted.exists() && is_open(MITMPROXY)).context("mitmproxy")?;
    Ok(Some((proxy, trusted)))
}

/// An authority, and a certificate of the origin with its key, as PEM files.
fn certificates(folder: &Path) -> Result<[PathBuf; 3]> {
    let mut authority = rcgen::CertificateParams::new(Vec::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "bench authority");
    let key = rcgen::KeyPair::generate()?;
    let ca = authority.self_signed(&key)?;
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate()?;
    let leaf = rcgen::CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?;
    let files = ["ca.pem", "origin.pem", "origin.key"].map(|name| folder.join(name));
    for (file, text) in files.iter().zip([ca.pem(), leaf.pem(), key.serialize_pem()]) {
        fs::write(file, text)?;
    }
    Ok(files)
}

/// The least that a proxy which opens TLS can cost: both sides in TLS, bytes copied between them.
pub fn recrypt(listen: &str, to: &str, folder: &str) -> Result<()> {
    let listen: SocketAddr = listen.parse().context("--listen is no address")?;
    let to: SocketAddr = to.parse().context("--to is no address")?;
    let folder = Path::new(folder);
    let chain = vec![CertificateDer::from_pem_file(folder.join("origin.pem"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("origin.key"))?;
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let connector = connector(&folder.join("ca.pem"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await.context("listen")?;
        loop {
            let (client, _) = listener.accept().await.context("accept")?;
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            tokio::spawn(async move {
                // A broken connection ends the pair, as with any proxy.
                let _ = pass(client, to, &acceptor, &connector).await;
            });
        }
    })
}

async fn pass(
    client: TcpStream,
    to: SocketAddr,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
) -> Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let upstream = TcpStream::connect(to).await?;
    upstream.set_nodelay(true)?;
    let mut upstream = connector.connect(ServerName::try_from(NAME)?, upstream).await?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

fn connector(trusted: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let file = || trusted.display().to_string();
    roots.add(CertificateDer::from_pem_file(trusted).with_context(file)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What was asked for and came, per second, and what one request cost the proxy.
struct Load {
    requests: f64,
    bytes: f64,
    micros: Option<f64>,
}

/// Asks for a file over and over, on connections that are open before it begins.
async fn load(way: &Way, file: &str, seconds: u32, process: Option<&Process>) -> Result<Load> {
    let connector = connector(&way.trusted)?;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(connect(way, &connector).await.context(way.name)?);
    }
    let before = process.map(Process::cpu_seconds).transpose()?;
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds.into());
    let request: Arc<str> = format!("GET /{file} HTTP/1.1\r\nHost: {NAME}:{ORIGIN}\r\n\r\n").into();
    let work: Vec<_> = streams
        .into_iter()
        .map(|stream| tokio::spawn(ask(stream, Arc::clone(&request), until)))
        .collect();
    let (mut requests, mut bytes) = (0.0, 0.0);
    for work in work {
        let (asked, came) = work.await?.context(way.name)?;
        requests += asked;
        bytes += came;
    }
    let took = started.elapsed().as_secs_f64();
    let used = process.map(Process::cpu_seconds).transpose()?.zip(before);
    let micros = used.map(|(after, before)| (after - before) * 1e6 / requests);
    Ok(Load { requests: requests / took, bytes: bytes / took, micros })
}

async fn connect(way: &Way, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(address(way.port)).await?;
    stream.set_nodelay(true)?;
    if let Some(token) = &way.token {
        let head = format!(
            "CONNECT {NAME}:{ORIGIN} HTTP/1.1\r\nHost: {NAME}:{ORIGIN}\r\nProxy-Authorization: \
             Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await?);
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            bail!("no tunnel: {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(connector.connect(ServerName::try_from(NAME)?, stream).await?)
}

/// Requests and bytes of one connection.
async fn ask(
    mut stream: TlsStream<TcpStream>,
    request: Arc<str>,
    until: Instant,
) -> Result<(f64, f64)> {
    let (mut requests, mut bytes) = (0.0, 0.0);
    let mut answer = vec![0; 256 * 1024];
    while Instant::now() < until {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        bytes += reply(&mut stream, &mut answer).await? as f64;
        requests += 1.0;
    }
    Ok((requests, bytes))
}

/// Reads one reply, which says how long it is; its length.
async fn reply(stream: &mut TlsStream<TcpStream>, buffer: &mut [u8]) -> Result<usize> {
    let mut known = 0;
    let mut whole = None;
    while whole.is_none_or(|whole| known < whole) {
        // Of a head that is known, what follows need not be kept.
        let at = if whole.is_none() { known } else { 0 };
        let read = stream.read(buffer.get_mut(at..).unwrap_or_default()).await?;
        if read == 0 {
            bail!("the connection ended after {known} bytes of a reply");
        }
        known += read;
        if whole.is_none() {
            whole = length(buffer.get(..known).unwrap_or_default())?;
        }
    }
    Ok(known)
}

/// The length of a reply, head and body, once its head is whole.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let text = String::from_utf8_lossy(answer.get(..answer.len().min(4096)).unwrap_or_default());
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    if !head.starts_with("HTTP/1.1 200") {
        bail!("refused: {text}");
    }
    let body = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Ok(Some(head.len() + 4 + body.context("a reply without its length")??))
}
