//! HTTP: an API behind each proxy, loaded by wrk.
//!
//! The API is nginx with two files of JSON; in front of it a byte-copy proxy, nginx as a reverse
//! proxy, and the gateway, once with a mask that looks into every reply and once without.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::bodies;
use crate::places::{GATEWAY, OTHER_GATEWAY, address, gateway_program, is_open, start_gateway};
use crate::process::{Account, Process, Processors, command, output};
use crate::report::Aim;
use crate::stats::median;

const ORIGIN: u16 = 21_440;
const COPY: u16 = 21_441;
const NGINX: u16 = 21_442;
const MASKED: u16 = 21_443;
const MASKED_ADMIN: u16 = 21_444;
const PLAIN: u16 = 21_445;
const PLAIN_ADMIN: u16 = 21_446;
const HEADS: u16 = 21_447;
const HEADS_ADMIN: u16 = 21_448;
const HAPROXY: u16 = 21_449;
/// Connections of the load.
pub const CONNECTIONS: usize = 32;

pub const RULES: &str = r#"  - name: no-deletes
    on: ["type:http"]
    when: http.method == "DELETE" || http.path.startsWith("/admin")
    block: "not here"
  - name: not-too-much
    limit: { operations: 1000000000, window: 1h }
"#;
/// Of each reply the journal keeps the beginning.
const HEAD_ONLY: &str = "recording: { payload: head }\n";
const MASK: &str = "  - name: mask-cards-and-ssn\n    mask: { fields: [credit_card, ssn] }\n";

/// A way to the API.
struct Way {
    name: &'static str,
    port: u16,
    path: &'static str,
    token: Option<String>,
}

/// What wrk measured.
struct Load {
    requests: f64,
    bytes: f64,
}

/// One file through one proxy, every round.
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
    let folder = Folder::make("http")?;
    let sizes = [("1 KiB", "small.json", 1024_usize), ("1 MiB", "large.json", 1 << 20)];
    for (_, file, bytes) in sizes {
        fs::create_dir_all(folder.path().join("files"))?;
        fs::write(folder.path().join("files").join(file), bodies::records(bytes))?;
    }
    let _origin = nginx(folder.path(), "origin", ORIGIN, &origin(folder.path()))?;
    let own = std::env::current_exe()?.display().to_string();
    let mut copy = command(&own, Processors::All, Account::Own)?;
    copy.args(["copy", "--listen", &address(COPY), "--to", &address(ORIGIN)]);
    let mut copy = Process::start("byte-copy", "-TERM", &folder.path().join("copy.log"), copy)?;
    copy.wait_until(|| is_open(COPY))?;
    let reverse = nginx(folder.path(), "reverse", NGINX, &reverse())?;
    let haproxy = haproxy(folder.path())?;
    let masks = format!("{RULES}{MASK}");
    let program = gateway_program()?;
    let gateway = |folder, name, ports, rules: &str| gateway(&program, folder, name, ports, rules);
    let (masked, masked_token) = gateway(folder.path(), "masked", (MASKED, MASKED_ADMIN), &masks)?;
    let masks = format!("{masks}{HEAD_ONLY}");
    let (heads, heads_token) = gateway(folder.path(), "heads", (HEADS, HEADS_ADMIN), &masks)?;
    let (plain, plain_token) = gateway(folder.path(), "plain", (PLAIN, PLAIN_ADMIN), RULES)?;
    let way = |name, port, path, token| Way { name, port, path, token };
    let ways = [
        way("direct", ORIGIN, "", None),
        way("byte-copy", COPY, "", None),
        way("nginx", NGINX, "", None),
        way("HAProxy", HAPROXY, "", None),
        way("narrows", PLAIN, "/r/api", Some(plain_token)),
        way("narrows, masks", MASKED, "/r/api", Some(masked_token)),
        way("narrows, masks, heads", HEADS, "/r/api", Some(heads_token)),
    ];
    let proxies = [&copy, &reverse, &haproxy, &plain, &masked, &heads];
    let processes: Vec<_> = std::iter::once(None).chain(proxies.map(Some)).collect();
    let mut results: Vec<Vec<Measured>> =
        sizes.iter().map(|_| ways.iter().map(|_| Measured::default()).collect()).collect();
    for round in 0..rounds {
        for ((size, file, _), results) in sizes.iter().zip(&mut results) {
            for turn in 0..ways.len() {
                let at = (turn + round) % ways.len();
                let (Some(way), Some(measured)) = (ways.get(at), results.get_mut(at)) else {
                    continue;
                };
                let process = processes.get(at).copied().flatten();
                let before = process.map(Process::cpu_seconds).transpose()?;
                let load = wrk(way, file, seconds)?;
                measured.requests.push(load.requests);
                measured.megabytes.push(load.bytes / 1e6);
                if let (Some(process), Some(before)) = (process, before) {
                    let used = process.cpu_seconds()? - before;
                    measured.micros.push(used * 1e6 / (load.requests * f64::from(seconds)));
                }
                let said = format!("{:.0} requests/s, {:.0} MB/s", load.requests, load.bytes / 1e6);
                eprintln!("round {round}, {size}, {}: {said}", way.name);
            }
        }
    }
    let ratio = |size: usize, name: &str, of: fn(&Measured) -> &[f64]| {
        let value = |name: &str| {
            let at = ways.iter().position(|way| way.name == name)?;
            median(of(results.get(size)?.get(at)?)).filter(|value| *value > 0.0)
        };
        Some(value(name)? / value("byte-copy")?)
    };
    let aims = vec![
        Aim::at_least(
            "HTTP, 1 KiB, 32 connections: requests/s against byte-copy",
            0.8,
            ratio(0, "narrows", |measured| &measured.requests),
        ),
        Aim::at_least(
            "HTTP, JSON of 1 MiB, two fields masked: MB/s against byte-copy",
            0.5,
            ratio(1, "narrows, masks, heads", |measured| &measured.megabytes),
        ),
    ];
    Ok((section(&ways, &sizes, &results)?, aims))
}

/// A size of reply, a build of the gateway, and what was measured.
pub type Compared = (&'static str, &'static str, f64);

/// This build of the gateway and `other`, turn by turn: requests of 1 KiB a second, and megabytes a
/// second of 1 MiB with two fields masked and the beginning of each reply recorded.
pub fn compare(other: &str, rounds: usize, seconds: u32) -> Result<Vec<Compared>> {
    let folder = Folder::make("compare")?;
    let files = folder.path().join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("small.json"), bodies::records(1024))?;
    fs::write(files.join("large.json"), bodies::records(1 << 20))?;
    let _origin = nginx(folder.path(), "origin", ORIGIN, &origin(folder.path()))?;
    let masks = format!("{RULES}{MASK}{HEAD_ONLY}");
    let own = gateway_program()?;
    let mut ways = Vec::new();
    let mut processes = Vec::new();
    for (program, name, ports) in
        [(other, OTHER_GATEWAY, (PLAIN, PLAIN_ADMIN)), (&*own, GATEWAY, (MASKED, MASKED_ADMIN))]
    {
        let (process, token) = gateway(program, folder.path(), name, ports, &masks)?;
        ways.push(Way { name, port: ports.0, path: "/r/api", token: Some(token) });
        processes.push(process);
    }
    let mut found = Vec::new();
    for round in 0..rounds {
        for (what, file) in [(SMALL, "small.json"), (LARGE, "large.json")] {
            for way in ways.iter().cycle().skip(round % ways.len()).take(ways.len()) {
                let load = wrk(way, file, seconds)?;
                let value = if what == SMALL { load.requests } else { load.bytes / 1e6 };
                eprintln!("round {}  {what:<34} {:<10} {value:.0}", round + 1, way.name);
                found.push((what, way.name, value));
            }
        }
    }
    Ok(found)
}

const SMALL: &str = "HTTP, 1 KiB, 32 connections, requests/s";
const LARGE: &str = "HTTP, 1 MiB, two fields masked, MB/s";

fn section(
    ways: &[Way],
    sizes: &[(&str, &str, usize)],
    results: &[Vec<Measured>],
) -> Result<String> {
    let mut text = format!(
        "\n## HTTP\n\nAn API (nginx) with a file of JSON behind each proxy; {CONNECTIONS} \
         connections of wrk, nothing pinned. The gateway runs with a token, two rules and \
         full recording; «masks» hides two keys, so that every reply is parsed; with «heads» \
         the recording keeps the beginning of each reply, otherwise all of it. In brackets: \
         against byte-copy, and against nginx. Processor time is of the proxy, per request.\n\n| |"
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
            let of = |name: &str| {
                let at = ways.iter().position(|way| way.name == name)?;
                Some(middle(values(row.get(at)?))).filter(|value| *value > 0.0)
            };
            for way in ways {
                let Some(value) = of(way.name) else {
                    text.push_str(" – |");
                    continue;
                };
                write!(text, " {value:.0}")?;
                let ratios = ["byte-copy", "nginx"].map(|other| of(other).map(|o| value / o));
                if let ([Some(copy), Some(nginx)], true) = (ratios, way.name.starts_with("narrows"))
                {
                    write!(text, " ({copy:.2}, {nginx:.2})")?;
                }
                text.push_str(" |");
            }
            text.push('\n');
        }
    }
    Ok(text)
}

fn origin(folder: &Path) -> String {
    format!(
        "server {{ listen 127.0.0.1:{ORIGIN}; keepalive_requests 100000000; root {}; types {{ \
         application/json json; }} }}",
        folder.join("files").display()
    )
}

fn reverse() -> String {
    format!(
        "upstream api {{ server 127.0.0.1:{ORIGIN}; keepalive 64; }} server {{ listen \
         127.0.0.1:{NGINX}; keepalive_requests 100000000; location / {{ proxy_pass http://api; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}"
    )
}

/// An nginx of its own: one server on one port.
pub fn nginx(folder: &Path, name: &'static str, port: u16, server: &str) -> Result<Process> {
    let own = folder.join(name);
    fs::create_dir_all(&own)?;
    let file = own.join("nginx.conf");
    fs::write(
        &file,
        format!(
            "daemon off; master_process off; pid {0}/pid; error_log {0}/error.log; events {{ \
             worker_connections 4096; }} http {{ access_log off; sendfile on; tcp_nodelay on; \
             client_body_temp_path {0}/b; proxy_temp_path {0}/p; fastcgi_temp_path {0}/f; \
             uwsgi_temp_path {0}/u; scgi_temp_path {0}/s; {server} }}",
            own.display()
        ),
    )?;
    let mut nginx = command("/usr/sbin/nginx", Processors::All, Account::Own)?;
    nginx.args(["-c", &file.display().to_string(), "-p", &own.display().to_string()]);
    let mut nginx = Process::start(name, "-TERM", &own.join("log"), nginx)
        .context("nginx (Debian: nginx-light)")?;
    nginx
        .wait_until(|| is_open(port))
        .with_context(|| fs::read_to_string(own.join("log")).unwrap_or_default())?;
    Ok(nginx)
}

fn haproxy(folder: &Path) -> Result<Process> {
    let file = folder.join("haproxy.cfg");
    fs::write(
        &file,
        format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 1m\n  timeout server \
             1m\n  http-reuse always\nlisten api\n  bind 127.0.0.1:{HAPROXY}\n  server one \
             127.0.0.1:{ORIGIN}\n"
        ),
    )?;
    let mut proxy = command("/usr/sbin/haproxy", Processors::All, Account::Own)?;
    proxy.args(["-db", "-f", &file.display().to_string()]);
    let mut proxy = Process::start("HAProxy", "-TERM", &folder.join("haproxy.log"), proxy)?;
    proxy.wait_until(|| is_open(HAPROXY)).context("HAProxy (Debian: haproxy)")?;
    Ok(proxy)
}

fn gateway(
    program: &str,
    folder: &Path,
    name: &'static str,
    (port, admin): (u16, u16),
    rules: &str,
) -> Result<(Process, String)> {
    let own = folder.join(name);
    fs::create_dir_all(&own)?;
    let configuration = format!(
        "data_dir: {}\nlisten:\n  admin: {}\n  http: {}\nresources:\n  api: {{ type: http, url: \
         \"http://127.0.0.1:{ORIGIN}\" }}\naccess:\n  - {{ groups: [agents], resources: [api] \
         }}\nrules:\n{rules}",
        own.join("var").display(),
        address(admin),
        address(port),
    );
    start_gateway(program, name, &own, &configuration, (admin, Processors::All), &[])
}

fn wrk(way: &Way, file: &str, seconds: u32) -> Result<Load> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s")]);
    if let Some(token) = &way.token {
        wrk.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    wrk.arg(format!("http://127.0.0.1:{}{}/{file}", way.port, way.path));
    let said = output(wrk, "wrk (Debian: wrk)")?;
    anyhow::ensure!(!said.contains("Non-2xx"), "{} refuses: {said}", way.name);
    let number = |key: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key));
        line.map(|value| value.trim().to_owned()).with_context(|| format!("wrk: {said}"))
    };
    let requests = number("Requests/sec:")?.parse().context("requests per second")?;
    Ok(Load { requests, bytes: amount(&number("Transfer/sec:")?)? })
}

/// `12.34MB`, in bytes.
fn amount(text: &str) -> Result<f64> {
    let units = [("KB", 1024.0), ("MB", 1_048_576.0), ("GB", 1_073_741_824.0), ("B", 1.0)];
    for (unit, factor) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(number.trim().parse::<f64>().context("an amount")? * factor);
        }
    }
    anyhow::bail!("wrk said {text}")
}

/// A folder that is removed in the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn make(name: &str) -> Result<Self> {
        let name = format!("narrows-bench-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).context("create a folder for the run")?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
