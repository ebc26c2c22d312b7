//! The configuration that a test starts its gateway with.

use crate::server::{APP_PASSWORD, Upstream};

/// The PostgreSQL rules of the sample configuration, word for word.
pub const RULES: &str = r#"
  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: big-reads
    when: result.rows > 10000 || principal.rows > 50000
    approve: { by: [dba], wait: 2m, expires: 10m, grant: once }
  - name: no-destruction
    on: ["type:postgres"]
    when: sql.dynamic || sql.verbs.exists(v, v in ["drop", "truncate"]) || sql.unfiltered.exists(v, v in ["delete", "update", "merge"])
    block: "destructive statement"
"#;

/// A configuration in parts.
#[derive(Clone, Debug)]
pub struct Config {
    rules: String,
    extra: String,
    resources: Vec<(String, String, String)>,
    locked: String,
    tls: String,
    host: String,
}

impl Config {
    /// These rules (lines of the `rules` list); one resource `shop` that agents may reach, and one
    /// `locked` that they may not.
    #[must_use]
    pub fn rules(rules: &str) -> Self {
        Self {
            rules: rules.to_owned(),
            extra: String::new(),
            resources: Vec::new(),
            locked: String::new(),
            tls: "off".to_owned(),
            host: "127.0.0.1".to_owned(),
        }
    }

    /// The sample's rules.
    #[must_use]
    pub fn sample() -> Self {
        Self::rules(RULES)
    }

    /// The sample's rules without the one that withholds large replies.
    #[must_use]
    pub fn streaming() -> Self {
        let rules = RULES.split("  - name: ").filter(|rule| !rule.starts_with("big-reads"));
        Self::rules(&rules.collect::<Vec<_>>().join("  - name: "))
    }

    /// No rules at all.
    #[must_use]
    pub fn open() -> Self {
        Self::rules(" []")
    }

    /// Adds top-level keys.
    #[must_use]
    pub fn with(mut self, extra: &str) -> Self {
        self.extra += extra;
        self.extra += "\n";
        self
    }

    /// Adds a resource on the same server, reachable by agents; `more` are further keys.
    #[must_use]
    pub fn resource(mut self, name: &str, more: &str) -> Self {
        self.resources.push((name.to_owned(), "shop".to_owned(), more.to_owned()));
        self
    }

    /// Adds further keys to the resource that agents may not reach.
    #[must_use]
    pub fn locked(mut self, more: &str) -> Self {
        more.clone_into(&mut self.locked);
        self
    }

    /// Adds a resource for another database of the same server, reachable by agents.
    #[must_use]
    pub fn database(mut self, name: &str, database: &str) -> Self {
        self.resources.push((name.to_owned(), database.to_owned(), String::new()));
        self
    }

    /// Reaches the server as `host`, with `tls`: `off`, `require`, `verify-full`.
    #[must_use]
    pub fn tls(mut self, host: &str, tls: &str) -> Self {
        self.tls = tls.to_owned();
        self.host = host.to_owned();
        self
    }

    /// The whole file.
    #[must_use]
    pub fn text(&self, upstream: &Upstream, admin: u16, postgres: u16) -> String {
        let mut resources = String::new();
        let mut names = vec!["shop".to_owned()];
        let mut add = |name: &str, database: &str, more: &str| {
            let Self { host, tls, .. } = self;
            resources += &format!(
                "  {name}:\n    type: postgres\n    address: \"{host}:{}\"\n    database: {database}\n    \
                 user: app\n    password: {{env: UPSTREAM_PASSWORD}}\n    tls: {tls}\n",
                upstream.port,
            );
            if tls == "verify-full" {
                resources += &format!("    ca: {{file: \"{}\"}}\n", upstream.ca.display());
            }
            if !more.is_empty() {
                resources += &format!("    {more}\n");
            }
        };
        add("shop", "shop", "");
        add("locked", "shop", &self.locked);
        for (name, database, more) in &self.resources {
            add(name, database, more);
            names.push(name.clone());
        }
        format!(
            "data_dir: ./var\n\
             listen:\n  admin: 127.0.0.1:{admin}\n  postgres: 127.0.0.1:{postgres}\n\
             resources:\n{resources}\
             access:\n  - {{ groups: [agents], resources: [{}] }}\n\
             {}\nrules:{}\n",
            names.join(", "),
            self.extra,
            self.rules,
        )
    }

    /// The environment of the gateway.
    pub(crate) fn environment() -> [(&'static str, &'static str); 1] {
        [("UPSTREAM_PASSWORD", APP_PASSWORD)]
    }
}
