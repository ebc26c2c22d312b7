//! Settings of a session that decide how its texts are read.

use std::sync::Arc;

use engine::Refusal;
use model::ClientText;

use crate::survey::Snapshot;

/// Session settings that the meaning of a text depends on, as the server reports them.
pub(crate) struct Settings {
    pub standard_conforming_strings: bool,
    pub encoding: Encoding,
    /// `client_encoding` and `server_encoding` as the server names them.
    pub client_encoding: String,
    pub server_encoding: String,
    /// `None`: changed in a way that was not followed.
    pub search_path: Option<Path>,
    /// The client began with another `search_path` than the role has.
    pub begins_elsewhere: bool,
    /// Settings of the role and the database when the session began.
    pub begun_with: Arc<str>,
    pub role: Arc<str>,
}

/// Where names are looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Path {
    /// Where a fresh session of the role does, by the newest snapshot: which of the schemas exist,
    /// and may be used, can change meanwhile. Anywhere once the role has other settings.
    Fresh,
    /// In these schemas.
    Listed(Vec<Arc<str>>),
}

/// How the client's text is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Utf8,
    /// One byte a character, the lower half ASCII.
    SingleByte,
    /// More bytes a character; only ASCII text can be judged.
    Other,
}

impl Settings {
    /// Before the server said anything of them.
    pub fn fresh(snapshot: &Snapshot, begins_elsewhere: bool) -> Self {
        Self {
            standard_conforming_strings: true,
            encoding: Encoding::Utf8,
            client_encoding: "UTF8".to_owned(),
            server_encoding: "UTF8".to_owned(),
            search_path: (!begins_elsewhere).then_some(Path::Fresh),
            begins_elsewhere,
            begun_with: Arc::clone(&snapshot.settings),
            role: Arc::clone(&snapshot.role),
        }
    }

    /// The server reported a setting.
    pub fn reported(&mut self, name: &str, value: &str) {
        match name {
            "standard_conforming_strings" => self.standard_conforming_strings = value == "on",
            "client_encoding" => {
                self.encoding = Encoding::of(value);
                value.clone_into(&mut self.client_encoding);
            }
            "server_encoding" => value.clone_into(&mut self.server_encoding),
            _ => {}
        }
    }

    /// The text, when every name in it reads here as in the server. Where its characters are
    /// only known to be other ones than ASCII, names must not have any: the server cuts long names
    /// by the bytes it has for them, and tells names apart by their characters.
    pub fn names_are_read(&self, text: String) -> Result<String, Refusal> {
        let is_exact = self.server_encoding == "UTF8"
            && matches!(&*self.client_encoding, "UTF8" | "UNICODE" | "LATIN1" | "SQL_ASCII");
        let strings = self.standard_conforming_strings;
        if text.is_ascii() || is_exact || !sql::has_names_beyond_ascii(&text, strings) {
            return Ok(text);
        }
        let words = "names beyond ASCII are judged only in client_encoding UTF8 or LATIN1, of a \
                     database in UTF8; SET client_encoding TO 'UTF8'";
        Err(Refusal::unjudgeable("encoding", ClientText::fixed(words)))
    }

    /// Values are converted to something that may not have all their characters.
    pub fn converts(&self) -> bool {
        self.converts_to(&self.client_encoding)
    }

    /// The same for this encoding, as a client may write it.
    pub fn converts_to(&self, name: &str) -> bool {
        // `pg_char_to_encoding` looks at letters and digits only.
        let plain = |name: &str| -> String {
            let kept = name.chars().filter(char::is_ascii_alphanumeric);
            kept.map(|c| c.to_ascii_uppercase()).collect()
        };
        let (to, from) = (plain(name), plain(&self.server_encoding));
        to != from && !matches!(&*to, "UTF8" | "UNICODE" | "SQLASCII") && from != "SQLASCII"
    }
}

impl Encoding {
    /// By PostgreSQL's name for it (PostgreSQL 17, table 23.3).
    fn of(name: &str) -> Self {
        match name {
            // Under SQL_ASCII bytes are taken as they are, and most databases are UTF8.
            "UTF8" | "UNICODE" | "SQL_ASCII" => Self::Utf8,
            "KOI8R" | "KOI8U" => Self::SingleByte,
            other
                if other.starts_with("LATIN")
                    || other.starts_with("ISO_8859")
                    || other.starts_with("WIN")
                        && other != "WIN949"
                        && other != "WIN936"
                        && other != "WIN932"
                        && other != "WIN950" =>
            {
                Self::SingleByte
            }
            _ => Self::Other,
        }
    }
}
