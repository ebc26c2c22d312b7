//! `cargo xtask`: the checks and chores of this repository, as one program.

mod finding;
mod layers;
mod new_protocol;
mod reviewed;
mod sbom;
mod schema;
mod source;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::Result;

use crate::finding::report;
use crate::tree::Tree;

const USAGE: &str = "usage: cargo xtask COMMAND

  layers                 who may import whom (DESIGN, section 3)
  tidy                   what review would otherwise repeat
  tidy --write-reviewed  count the calls in xtask/reviewed.txt anew, after you have read them
  schema [--check]       write docs/narrows.schema.json, or compare it
  sbom [TARGET]          write the bill of materials in CycloneDX (x86_64-unknown-linux-gnu)
  new-protocol NAME      make the folder of a new protocol";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode> {
    let tree = Tree::open()?;
    Ok(match arguments {
        ["layers"] => report("layers", &layers::check(&tree)?),
        ["tidy"] => report("tidy", &tidy::check(&tree)?),
        ["tidy", "--write-reviewed"] => {
            reviewed::write(&tree)?;
            ExitCode::SUCCESS
        }
        ["schema"] => {
            schema::write(&tree)?;
            ExitCode::SUCCESS
        }
        ["schema", "--check"] => report("schema", &schema::check(&tree)?),
        ["sbom"] => {
            sbom::write(&tree, "x86_64-unknown-linux-gnu")?;
            ExitCode::SUCCESS
        }
        ["sbom", target] => {
            sbom::write(&tree, target)?;
            ExitCode::SUCCESS
        }
        ["new-protocol", name] => {
            new_protocol::make(&tree, name)?;
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    })
}
