//! The names of secrets in stores.

use std::fmt;

/// Longest reference, bytes.
const REFERENCE_BYTES_MAX: usize = 1024;

/// A secret in a store.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reference {
    /// A field of a secret in the second version of Vault's key-value engine.
    Vault {
        /// The path of the API: `secret/data/appdb`.
        path: String,
        /// The field.
        field: String,
    },
    /// A secret in AWS Secrets Manager, or a field of one that is a JSON object.
    Aws {
        /// Its name or ARN.
        name: String,
        /// The field.
        field: Option<String>,
    },
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault { path, field } => write!(f, "vault:{path}#{field}"),
            Self::Aws { name, field: Some(field) } => write!(f, "aws:{name}#{field}"),
            Self::Aws { name, field: None } => write!(f, "aws:{name}"),
        }
    }
}

impl Reference {
    /// Reads `secret/data/appdb#password`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn vault(text: &str) -> Result<Self, String> {
        let example = "secret/data/appdb#password";
        let (path, field) = text
            .split_once('#')
            .ok_or_else(|| format!("it names no field; write PATH#FIELD: {example}"))?;
        if text.len() > REFERENCE_BYTES_MAX || !is_path(path) {
            return Err(format!("`{path}` is not a path of the API; write PATH#FIELD: {example}"));
        }
        if field.is_empty() || field.chars().any(|letter| letter.is_control() || letter == '#') {
            return Err(format!("it names no field after `#`; write PATH#FIELD: {example}"));
        }
        let engine_and_name = path.split_once("/data/");
        if engine_and_name.is_none_or(|(engine, name)| engine.is_empty() || name.is_empty()) {
            return Err(format!(
                "`{path}` is not of the second version of the key-value engine, whose paths have \
                 `data` after the engine: {example}"
            ));
        }
        Ok(Self::Vault { path: path.to_owned(), field: field.to_owned() })
    }
}

impl Reference {
    /// Reads `prod/appdb`, an ARN, or either with `#FIELD` behind it.
    ///
    /// # Errors
    ///
    /// What would be right.
    pub fn aws(text: &str) -> Result<Self, String> {
        let (name, field) = match text.split_once('#') {
            Some((name, field)) => (name, Some(field)),
            None => (text, None),
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || "/_+=.@:-".contains(c);
        let empty = |field: &str| field.is_empty() || field.contains(|c: char| c.is_control());
        let named = !name.is_empty() && name.chars().all(letter);
        if !named || field.is_some_and(empty) || text.len() > REFERENCE_BYTES_MAX {
            return Err("write NAME, or NAME#FIELD for a field of JSON: prod/appdb#password".into());
        }
        Ok(Self::Aws { name: name.to_owned(), field: field.map(str::to_owned) })
    }
}

/// Whether it is a path of Vault's API: names of letters, digits, `_`, `-` and `.` between slashes.
pub(crate) fn is_path(path: &str) -> bool {
    path.split('/').all(|part| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        !part.is_empty() && !matches!(part, "." | "..") && part.chars().all(plain)
    })
}

/// Whether credentials are made at a path: `database/creds/ROLE`.
///
/// # Errors
///
/// What would be right.
pub fn credential_path(text: &str) -> Result<(), String> {
    if text.contains("/static-creds/") {
        return Err("a static role has one password for all sessions; name MOUNT/creds/ROLE".into());
    }
    let parts = text.split_once("/creds/");
    let shaped = parts.is_some_and(|(mount, role)| is_path(mount) && is_path(role));
    match shaped && text.len() <= REFERENCE_BYTES_MAX {
        true => Ok(()),
        false => Err("write MOUNT/creds/ROLE: database/creds/readonly".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_path_of_the_api_and_a_field() {
        let read = Reference::vault("teams/kv/data/prod/appdb#pass word").unwrap();
        assert_eq!(read.to_string(), "vault:teams/kv/data/prod/appdb#pass word");
        for wrong in [
            "",
            "secret/data/appdb",
            "secret/data/appdb#",
            "secret/appdb#password",
            "data/appdb#password",
            "/secret/data/appdb#password",
            "secret/data/#password",
            "secret/data/../sys/x#password",
            "secret/data/a?version=1#password",
            "secret/data/a#b#c",
            "secret/data/a#b\nc",
        ] {
            assert!(Reference::vault(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_of_aws_is_a_name_or_an_arn() {
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/appdb-a1b2c3";
        for right in ["prod/appdb", "prod/appdb#password", arn, &format!("{arn}#user")] {
            assert_eq!(Reference::aws(right).unwrap().to_string(), format!("aws:{right}"));
        }
        for wrong in ["", "#password", "prod/appdb#", "a b", "a\n", "a#b\n"] {
            assert!(Reference::aws(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_of_a_role() {
        assert!(credential_path("database/creds/readonly").is_ok());
        for wrong in ["", "creds/x", "database/creds/", "database/static-creds/x", "a/../creds/x"] {
            assert!(credential_path(wrong).is_err(), "{wrong}");
        }
    }
}
