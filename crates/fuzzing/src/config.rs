//! Any text as a configuration, and any as a file of rules beside it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use narrows::config::machine::Machine;
use narrows::config::{load_on, show};
use narrows::protocols::Rulebook;
use policy::Problem;

use crate::bytes_of;

/// Divides the configuration from the file of rules in the folder that it may name.
pub const DIVIDER: &[u8] = b"\n=== rules/one.yaml ===\n";
const MAIN: &str = "narrows.yaml";
const RULES: &str = "rules/one.yaml";

/// A machine that has these two files and nothing else.
struct Two<'a> {
    main: &'a [u8],
    rules: Option<&'a [u8]>,
}

impl Two<'_> {
    fn find(&self, path: &Path) -> io::Result<&[u8]> {
        let found = match path.to_str() {
            Some(MAIN) => Some(self.main),
            Some(name) if name.ends_with(".yaml") => self.rules,
            _ => None,
        };
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Machine for Two<'_> {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let bytes = self.find(path)?;
        let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Ok(bytes[..bytes.len().min(most)].to_vec())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        match self.rules {
            Some(_) => Ok(vec![folder.join(RULES)]),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open(&self, path: &Path) -> io::Result<()> {
        self.find(path).map(drop)
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// It loads, or there is at least one problem; each problem and each warning has a place in the
/// text it speaks of; what is in force can be shown.
pub fn config(data: &[u8]) {
    static RULEBOOK: OnceLock<Rulebook> = OnceLock::new();
    let at = data.windows(DIVIDER.len()).position(|window| window == DIVIDER);
    let (main, rules) = match at {
        None => (data, None),
        Some(at) => (&data[..at], Some(&data[at + DIVIDER.len()..])),
    };
    let machine = Two { main, rules };
    let rulebook = RULEBOOK.get_or_init(Rulebook::new);
    let (problems, warnings) = match load_on(&machine, Path::new(MAIN), rulebook, 1) {
        Ok(loaded) => {
            assert!(!show::show(&loaded.config).is_empty());
            (Vec::new(), loaded.warnings)
        }
        Err(unusable) => {
            assert!(!unusable.problems.is_empty(), "refused, and nobody says why");
            (unusable.problems, unusable.warnings)
        }
    };
    for problem in problems.iter().chain(&warnings) {
        let text = if &*problem.at.file == MAIN { Some(main) } else { rules };
        let text = text.unwrap_or_else(|| panic!("a problem in no file: {problem}"));
        stands_in(problem, text);
    }
}

/// A line of the text, or the one behind its last; a column of that line, or the one behind it.
fn stands_in(problem: &Problem, text: &[u8]) {
    // What cannot be read as text at all stands at its beginning.
    let text = std::str::from_utf8(text).unwrap_or_default();
    let (line, column) = (problem.at.line as usize, problem.at.column as usize);
    // YAML 1.2, section 5.4: a line ends with a line feed, a carriage return, or both.
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = unified.split('\n').collect();
    assert!((1..=lines.len() + 1).contains(&line), "no such line: {problem}");
    let width = lines.get(line - 1).map_or(0, |line| line.chars().count());
    assert!((1..=width + 1).contains(&column), "no such column: {problem}\n{text:?}");
    assert!(!problem.message.is_empty() && !bytes_of::contains(problem.message.as_bytes(), b"\n"));
}
