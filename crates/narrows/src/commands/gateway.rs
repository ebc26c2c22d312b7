//! `narrows reload`, `ca`, `resources`.

use anyhow::Context as _;
use serde_json::json;

use crate::args::Common;
use crate::client::{Client, config_path};
use crate::config;
use crate::output::{self, Cell, Out, counted};

/// Makes the running gateway read its configuration again.
pub fn reload(common: &Common) -> anyhow::Result<()> {
    let reloaded: admin::Reloaded = Client::find(common)?.post("/api/v1/reload", &json!({}))?;
    if common.json {
        return output::json(&reloaded);
    }
    for warning in &reloaded.warnings {
        eprintln!("warning: {warning}");
    }
    output::line(&format!(
        "in force: {}, {}",
        counted(reloaded.rules as u64, "rule"),
        counted(reloaded.resources as u64, "resource")
    ))
}

/// Prints the certificate of the local CA, making the CA if the gateway has not started yet.
pub fn ca(common: &Common) -> anyhow::Result<()> {
    let path = config_path(common);
    super::check::must_exist(&path)?;
    let config = config::whereabouts(&path)
        .with_context(|| format!("{} cannot be read; narrows check says why", path.display()))?;
    let data_dir = store::DataDir::open(&config.data_dir)?;
    let authority = runtime::tls::Authority::open(data_dir.path())?;
    let file = authority.certificate_path();
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("read the certificate {}", file.display()))?;
    if common.json {
        return output::json(&json!({ "file": file, "certificate": text }));
    }
    if config.tls.is_some() {
        eprintln!("note: this gateway shows the certificate of `tls`, not one of this CA");
    }
    output::print(&text)
}

/// Lists the upstreams in force.
pub fn resources(common: &Common) -> anyhow::Result<()> {
    let resources: Vec<admin::ResourceView> = Client::find(common)?.get("/api/v1/resources")?;
    if common.json {
        return output::json(&resources);
    }
    if resources.is_empty() {
        return output::line("no resources are configured");
    }
    for one in &resources {
        if let Some(why) = &one.not_ready {
            eprintln!("{} is not ready: {}", one.name, output::printable(why));
        }
    }
    let rows: Vec<Vec<Cell>> = resources
        .iter()
        .map(|one| {
            [&one.name, &one.kind, &one.address, &one.database, &one.user, &one.tls]
                .map(Cell::from)
                .into()
        })
        .collect();
    let heading = ["NAME", "TYPE", "ADDRESS", "DATABASE", "USER", "TLS"];
    output::print(&Out::stdout(runtime::clock::now()).table(&heading, &rows))
}
