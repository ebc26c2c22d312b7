//! `narrows env` and `narrows run`: what an agent needs so that all it does goes through the
//! gateway, and a place where nothing else is possible.
//!
//! `run` starts a program in a network namespace of its own that holds nothing but a loopback
//! interface. On it, at the gateway's own addresses, a relay in the namespace accepts connections
//! and hands them through a socket file to a relay outside, which dials the gateway. So there is no
//! route, no name server and no other way out, whatever the program does with its environment. It
//! starts without the capabilities by which root could leave the namespace.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Common;
use crate::client::config_path;
use crate::config::scalar::Address;
use crate::config::web::Site;
use crate::config::{self, Config};
use crate::output;
use crate::protocols::{EGRESS, TRANSPARENT};

/// Where the operating system keeps the roots it trusts, all in one file.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// Variables that name a file with every root to trust.
const BUNDLE_VARIABLES: [&str; 8] = [
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];
/// Variables that name a file with roots to trust besides the program's own.
const EXTRA_VARIABLES: [&str; 2] = ["DENO_CERT", "NODE_EXTRA_CA_CERTS"];
/// The most that a program of root's may still do, as `setpriv` writes it: what containers leave to
/// theirs, without raw sockets and device files. With more it could enter the network of another
/// process (`nsenter`), or lay a cable to it (`ip link add … netns`).
const CAPABILITIES: &str = "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,\
                            +setfcap,+setgid,+setpcap,+setuid,+net_bind_service,+sys_chroot,\
                            +audit_write";
/// What the relay inside says instead of a listener's number on the connection by which it notices
/// that the one outside is gone.
const LEASH: u8 = u8::MAX;
/// The number of the signal that ends what does not listen.
const SIGKILL: i32 = 9;
/// Tells the relay inside where the socket file is.
const SOCKET_VARIABLE: &str = "NARROWS_RUN_SOCKET";

/// Prints what an agent's environment must hold, for `eval "$(narrows env --token …)"`.
pub fn env(common: &Common, bundle: Option<PathBuf>) -> anyhow::Result<()> {
    let variables = variables(common, bundle)?;
    if common.json {
        let map: serde_json::Map<_, _> =
            variables.into_iter().map(|(name, value)| (name, json!(value))).collect();
        return output::json(&map);
    }
    let mut text = String::new();
    for (name, value) in variables {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "export {name}={}", quoted(&value));
    }
    output::print(&text)
}

/// The variables, by name.
fn variables(common: &Common, bundle: Option<PathBuf>) -> anyhow::Result<Vec<(String, String)>> {
    let path = config_path(common);
    super::check::must_exist(&path)?;
    let config = config::whereabouts(&path)
        .with_context(|| format!("{} cannot be read; narrows check says why", path.display()))?;
    let token = common.token.as_deref().ok_or_else(|| {
        anyhow!(
            "the environment holds the agent's token: add --token\n  \
             narrows token create NAME --group agents makes one"
        )
    })?;
    if !token.starts_with("nrw_") {
        bail!("--token is no token of the gateway; those begin with nrw_");
    }
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
    if let Some(egress) = listener(&config, EGRESS) {
        let proxy = format!("http://narrows:{token}@{}", reached_at(egress));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            set(name, proxy.clone());
            set(&name.to_ascii_lowercase(), proxy.clone());
        }
        // What runs here, the gateway's own listeners first of all, is not asked for by proxy.
        for name in ["NO_PROXY", "no_proxy"] {
            set(name, "localhost,127.0.0.1,::1".to_owned());
        }
        set("NODE_USE_ENV_PROXY", "1".to_owned());
        let (bundle, own) = write_bundle(&config, bundle)?;
        for name in BUNDLE_VARIABLES {
            set(name, bundle.clone());
        }
        for name in EXTRA_VARIABLES {
            set(name, own.clone());
        }
    }
    if let Some(http) = listener(&config, "http") {
        let base = format!("http://{}", reached_at(http));
        for site in config.sites.iter().filter(|site| *site.resource.kind == *"openai") {
            endpoint(site, &base, token, &mut set);
        }
    }
    if let Some(postgres) = listener(&config, "postgres") {
        let (host, port) = (host_of(postgres), postgres.port);
        set("PGHOST", host);
        set("PGPORT", port.to_string());
        set("PGUSER", "agent".to_owned());
        set("PGPASSWORD", token.to_owned());
        if let [only] = config.upstreams.as_slice() {
            set("PGDATABASE", only.resource.name.to_string());
        }
    }
    if variables.is_empty() {
        bail!("{} has no listener for agents; narrows check --sample shows some", path.display());
    }
    Ok(variables)
}

/// A model endpoint, as its clients' own variables name it.
fn endpoint(site: &Site, base: &str, token: &str, set: &mut impl FnMut(&str, String)) {
    let name = &site.resource.name;
    let url = site.url.as_ref();
    let own_version = url.is_some_and(|url| url.path().trim_end_matches('/').ends_with("/v1"));
    let version = if own_version { "" } else { "/v1" };
    let host = url.and_then(url::Url::host_str).unwrap_or_default();
    if host.contains("anthropic") {
        set("ANTHROPIC_BASE_URL", format!("{base}/r/{name}"));
        set("ANTHROPIC_API_KEY", token.to_owned());
    } else {
        set("OPENAI_BASE_URL", format!("{base}/r/{name}{version}"));
        set("OPENAI_API_KEY", token.to_owned());
    }
}

/// What a confined program can reach: no one redirects its connections.
fn reachable(config: &Config) -> impl Iterator<Item = &(&'static str, Address)> {
    config.listeners.iter().filter(|(name, _)| *name != TRANSPARENT)
}

fn listener<'a>(config: &'a Config, name: &str) -> Option<&'a Address> {
    config.listeners.iter().find(|(known, _)| *known == name).map(|(_, address)| address)
}

/// How this machine reaches a listener: one on every address is here too.
fn host_of(address: &Address) -> String {
    match address.host.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        _ => address.host.clone(),
    }
}

fn reached_at(address: &Address) -> String {
    Address { host: host_of(address), port: address.port }.to_string()
}

/// Writes the roots of the system and ours into one file, and ours alone into another; their names.
fn write_bundle(config: &Config, wanted: Option<PathBuf>) -> anyhow::Result<(String, String)> {
    let data_dir = store::DataDir::open(&config.data_dir)?;
    let authority = runtime::tls::Authority::open(data_dir.path())?;
    let read = |file: &Path| {
        std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
    };
    let own = read(authority.certificate_path())?;
    let beside = config.file.parent().unwrap_or(Path::new("")).to_owned();
    let bundle = wanted.unwrap_or_else(|| beside.join("narrows-ca-bundle.pem"));
    let alone = bundle.with_extension("own.pem");
    let system = SYSTEM_BUNDLES.iter().map(Path::new).find(|file| file.exists());
    let system = system.map(read).transpose()?.unwrap_or_default();
    for (file, text) in [(&bundle, format!("{own}\n{system}")), (&alone, own)] {
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        let everyone = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file, everyone)
            .with_context(|| format!("let everyone read {}", file.display()))?;
    }
    let absolute = |file: &Path| -> anyhow::Result<String> {
        Ok(std::path::absolute(file)?.display().to_string())
    };
    Ok((absolute(&bundle)?, absolute(&alone)?))
}

/// For a POSIX shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// Starts a program whose only way out is the gateway, and ends as it does.
pub fn run(common: &Common, bundle: Option<PathBuf>, command: Vec<OsString>) -> anyhow::Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let code = match std::env::var_os(SOCKET_VARIABLE) {
        Some(socket) => tokio.block_on(inside(common, Path::new(&socket), command))?,
        None => tokio.block_on(outside(common, bundle, command))?,
    };
    tokio.shutdown_background();
    std::process::exit(code);
}

/// The relay outside: makes the namespace and dials the gateway for it.
async fn outside(
    common: &Common,
    bundle: Option<PathBuf>,
    command: Vec<OsString>,
) -> anyhow::Result<i32> {
    let variables = variables(common, bundle)?;
    let path = config_path(common);
    let config = config::whereabouts(&path).context("the configuration cannot be read")?;
    let folder = Folder::make()?;
    let socket = folder.0.join("relay");
    let listener = UnixListener::bind(&socket).context("make the relay's socket")?;
    let targets: Vec<Address> = reachable(&config).map(|(_, to)| to.clone()).collect();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay_out(stream, targets.clone()));
        }
    });
    let me = std::env::current_exe().context("find this program")?;
    // Root needs no namespace of users; others get one in which they may set up their own network.
    let is_root = std::fs::metadata("/proc/self").map(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    let mut unshare = Command::new("unshare");
    if !is_root.unwrap_or(false) {
        unshare.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    unshare.arg("--net").arg("--").arg(me).arg("run").arg("--").args(command);
    unshare.env("NARROWS_CONFIG", std::path::absolute(&path)?);
    unshare.env(SOCKET_VARIABLE, &socket).env_remove("NARROWS_TOKEN").kill_on_drop(true);
    for (name, value) in variables {
        unshare.env(name, value);
    }
    attend(unshare.spawn().context("start unshare (Debian: util-linux)")?, None).await
}

/// Waits for a program's end and gives its code; passes on what this process is told meanwhile, and
/// ends the program when the leash breaks.
async fn attend(mut child: Child, mut leash: Option<UnixStream>) -> anyhow::Result<i32> {
    let told = |kind| signal(kind).context("listen for signals");
    let (mut terminate, mut hangup) = (told(SignalKind::terminate())?, told(SignalKind::hangup())?);
    let (mut interrupt, mut quit) = (told(SignalKind::interrupt())?, told(SignalKind::quit())?);
    // A terminal tells the program itself.
    let alone = !std::io::stdin().is_terminal();
    loop {
        let passed_on = tokio::select! {
            status = child.wait() => return Ok(code_of(status.context("wait for the program")?)),
            () = broken(&mut leash) => {
                child.kill().await.context("end the program")?;
                return Ok(128 + SIGKILL);
            }
            _ = terminate.recv() => "TERM",
            _ = hangup.recv() => "HUP",
            _ = interrupt.recv(), if alone => "INT",
            _ = quit.recv(), if alone => "QUIT",
        };
        if let Some(process) = child.id() {
            // The shell's own: a program of that name is not on every machine. The child may have
            // ended by itself, which the next turn sees.
            let words = format!("kill -{passed_on} {process}");
            let mut kill = Command::new("sh");
            kill.args(["-c", &words]).stdin(Stdio::null()).stderr(Stdio::null());
            let _ = kill.status().await;
        }
    }
}

/// Ends when nothing holds the other end of the leash any more.
async fn broken(leash: &mut Option<UnixStream>) {
    match leash {
        // Nobody ever says anything on it.
        Some(leash) => drop(leash.read_u8().await),
        None => std::future::pending().await,
    }
}

/// The relay inside: sets up the loopback interface, accepts in place of the gateway, and starts
/// the program.
async fn inside(common: &Common, socket: &Path, command: Vec<OsString>) -> anyhow::Result<i32> {
    let config = config::whereabouts(&config_path(common)).context("read the configuration")?;
    let mut ip = Command::new("ip");
    ip.args(["link", "set", "lo", "up"]).stdin(Stdio::null());
    let up = ip.status().await.context("start ip (Debian: iproute2)")?;
    if !up.success() {
        bail!("the loopback interface of the program's own network cannot be set up");
    }
    for (number, (_, address)) in (0_u8..).zip(reachable(&config)) {
        let own = (host_of(address), address.port);
        let listener = TcpListener::bind((own.0.as_str(), own.1)).await.with_context(|| {
            format!("listen on {address} inside; narrows run needs loopback listeners")
        })?;
        let socket = socket.to_owned();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(relay_in(stream, socket.clone(), number));
            }
        });
    }
    let mut leash = UnixStream::connect(socket).await.context("reach the relay outside")?;
    leash.write_u8(LEASH).await.context("reach the relay outside")?;
    let child = Command::new("setpriv")
        .args(["--ambient-caps=-all", "--inh-caps=-all", CAPABILITIES, "--pdeathsig=KILL", "--"])
        .args(command)
        .env_remove(SOCKET_VARIABLE)
        .env_remove("NARROWS_CONFIG")
        .kill_on_drop(true)
        .spawn()
        .context("start setpriv (Debian: util-linux)")?;
    attend(child, Some(leash)).await
}

/// From a program inside to the socket file: which listener it meant, then its bytes.
async fn relay_in(mut stream: TcpStream, socket: PathBuf, number: u8) {
    let Ok(mut out) = UnixStream::connect(socket).await else { return };
    if out.write_u8(number).await.is_ok() {
        // Either side may go at any time; there is nobody to tell.
        let _ = copy_bidirectional(&mut stream, &mut out).await;
    }
}

async fn relay_out(mut stream: UnixStream, targets: Vec<Address>) {
    let Ok(number) = stream.read_u8().await else { return };
    if number == LEASH {
        return broken(&mut Some(stream)).await;
    }
    let Some(target) = targets.get(usize::from(number)) else { return };
    let Ok(mut gateway) = TcpStream::connect((host_of(target), target.port)).await else { return };
    let _ = copy_bidirectional(&mut stream, &mut gateway).await;
}

/// As a shell reports it.
fn code_of(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A folder that only this user can enter, gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let name = store::session_id(runtime::clock::now()).context("name a folder")?;
        let folder = std::env::temp_dir().join(format!("narrows-run-{}", name.0));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("make the folder {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is empty but for a socket that nobody serves.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_safe_in_a_shell() {
        assert_eq!(quoted("http://a:b@127.0.0.1:1"), "http://a:b@127.0.0.1:1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a'b;$(c)"), "'a'\\''b;$(c)'");
        assert_eq!(quoted(""), "''");
    }
}
