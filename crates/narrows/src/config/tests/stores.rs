//! What `check` says of stores of secrets.

use super::{loaded, problems, show};

const VAULT: &str = "vault: { address: \"https://vault.example:8200\", token: {env: VAULT_TOKEN} }";

fn with(resource: &str, vault: &str) -> String {
    format!(
        "listen: {{ postgres: 127.0.0.1:7432 }}\n{vault}\nresources:\n  appdb: {{ type: postgres, \
         address: \"127.0.0.1:5432\", tls: off, {resource} }}\naccess:\n  - {{ groups: [a], \
         resources: [appdb] }}\n"
    )
}

const KEPT: &str = "user: app, password: {vault: \"secret/data/appdb#password\"}";
const MADE: &str = "credentials: {vault: database/creds/readonly}";

#[test]
fn stores_are_shown_without_what_opens_them() {
    let shown = |resource: &str, vault: &str| {
        let loaded = loaded(&with(resource, vault));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        show::show(&loaded.config)
    };
    let told = shown(KEPT, VAULT);
    assert!(told.contains("password: from vault:secret/data/appdb#password"), "{told}");
    assert!(told.contains("vault:\n  address: https://vault.example:8200\n"), "{told}");
    assert!(told.contains("token: from the environment variable VAULT_TOKEN\n"), "{told}");
    let approle = "vault: { address: \"https://v.example\", namespace: a/b, refresh: 10s, approle: { \
                   role_id: gw, secret_id: {file: id}, mount: logins } }";
    let told = shown(MADE, approle);
    assert!(told.contains("credentials: made by vault:database/creds/readonly"), "{told}");
    assert!(!told.contains("password:"), "{told}");
    assert!(told.contains("login: auth/logins with role_id from the configuration"), "{told}");
    assert!(told.contains("namespace: a/b\n") && told.contains("refresh: 10s\n"), "{told}");
}

#[test]
fn what_no_store_could_give_is_refused() {
    for (resource, vault, wanted) in [
        (KEPT, "", "resources.appdb.password: no vault is configured"),
        (MADE, "", "resources.appdb.credentials: no vault is configured"),
        ("user: app, password: {vault: secret/appdb}", VAULT, "it names no field"),
        ("user: app, password: {vault: \"secret/appdb#p\"}", VAULT, "have `data` after the engine"),
        ("user: app, password: {gcp: appdb}", VAULT, "this build does not ask gcp for secrets"),
        ("user: app, password: {azure: appdb}", VAULT, "az, keyvault"),
        ("user: app, password: {vualt: appdb}", VAULT, "did you mean \"vault\"?"),
        ("credentials: {vault: database/static-creds/x}", VAULT, "one password for all sessions"),
        ("credentials: {vault: readonly}", VAULT, "MOUNT/creds/ROLE"),
        ("user: app, credentials: {vault: database/creds/x}", VAULT, "credentials bring both"),
        (KEPT, "vault: { token: {env: T} }", "vault has no address"),
        (KEPT, "vault: { address: \"http://vault.example\", token: {env: T} }", "in clear text"),
        (KEPT, "vault: { address: \"https://vault.example\" }", "not exactly one way"),
        (
            KEPT,
            "vault: { address: \"https://v.example\", token: {env: T}, kubernetes: { role: r } }",
            "not exactly one way",
        ),
        (
            KEPT,
            "vault: { address: \"https://v.example\", token: {vault: \"secret/data/t#t\"} }",
            "what opens it cannot be in it",
        ),
        (
            KEPT,
            "vault: { address: \"https://v.example\", token: {env: T}, refresh: 1ms }",
            "from 1s to 1d",
        ),
    ] {
        let told = problems(&with(resource, vault)).join("\n");
        assert!(told.contains(wanted), "{resource} {vault}: {told}");
    }
}
