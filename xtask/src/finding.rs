//! What a check found, and how it is told.

use std::fmt;
use std::process::ExitCode;

/// Whether a finding fails the check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// It fails.
    Error,
    /// It is only told.
    Warning,
}

/// Something that should be otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub level: Level,
    /// File, from the root of the repository.
    pub path: String,
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: usize,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    pub fn error(
        path: impl Into<String>,
        line: usize,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (path, what, remedy) = (path.into(), what.into(), remedy.into());
        Self { level: Level::Error, path, line, what, remedy }
    }

    pub fn warning(self) -> Self {
        Self { level: Level::Warning, ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{}:{}: {level}: {}; {}", self.path, self.line.max(1), self.what, self.remedy)
    }
}

/// Tells all findings; the exit code says whether the check passed.
pub fn report(check: &str, findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    let warnings = findings.len() - errors;
    println!("{check}: {errors} errors, {warnings} warnings");
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
