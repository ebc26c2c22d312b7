//! A configuration to begin with: `narrows check --sample`.

/// Loads as it stands, and explains itself.
pub const SAMPLE: &str = r##"# narrows.yaml: a gateway in front of one PostgreSQL database.
data_dir: ./var                      # made with mode 0700: state, journal, local CA

listen:
  admin:    127.0.0.1:7070           # REST API, /healthz, /metrics
  postgres: 127.0.0.1:7432           # agents connect here

resources:
  appdb:                             # clients ask for it as their database name
    type: postgres
    address: "127.0.0.1:5432"
    database: app
    user: app
    password: {env: APPDB_PASSWORD}  # or {file: PATH}, {command: [program, argument]}
    tls: off                         # verify-full (the default) for anything but this machine

access:                              # nothing is reachable that no line here grants
  - { groups: [agents], resources: [appdb] }

rules:
  - name: mask-cards-and-ssn
    mask: { fields: [credit_card, ssn], with: redact }
  - name: big-reads
    when: result.rows > 10000 || principal.rows > 50000
    approve: { by: [dba], wait: 2m, expires: 10m, grant: once }
  - name: no-destruction
    on: ["type:postgres"]
    when: >-
      sql.dynamic || sql.verbs.exists(v, v in ["drop", "truncate"])
      || sql.unfiltered.exists(v, v in ["delete", "update", "merge"])
    block: "destructive statement"
"##;
