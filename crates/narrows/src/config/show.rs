//! The working configuration as `narrows check --show` prints it: defaults filled in, secrets
//! hidden.

use std::fmt::Write as _;
use std::time::Duration;

use admin::SamlPlan;
use identity::{ALGORITHMS, IssuerPlan, KeysFrom};
use model::UpstreamTls;
use policy::{ActionSpec, Located, PayloadPolicy, RuleSpec};
use saml::SubjectFrom;

use super::Config;
use super::certificates;
use super::identity::ClientForm;
use super::outgoing::Outgoing;
use super::recording::{Recorded, describe_retention, describe_store_encryption};
use super::scalar::OnFailureForm;
use super::scalar::SecretForm;
use super::stores;
use super::telling::{Telling, TellingWay};
use super::web::Site;

/// The whole configuration, as lines that read like the file.
pub fn show(config: &Config) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(config, &mut out);
    out
}

/// One rule, as lines of the whole.
pub fn rule(rule: &RuleSpec) -> String {
    let mut out = String::new();
    // As above.
    let _ = write_rule(rule, &mut out);
    out
}

fn write(config: &Config, out: &mut String) -> std::fmt::Result {
    writeln!(out, "data_dir: {}", config.data_dir.display())?;
    writeln!(out, "state: {}", config.state.describe())?;
    writeln!(out, "listen:\n  admin: {}", config.admin)?;
    for (protocol, address) in &config.listeners {
        writeln!(out, "  {protocol}: {address}")?;
    }
    if let Some(transparent) = &config.transparent {
        let mode = if transparent.tproxy { "tproxy" } else { "redirect" };
        writeln!(out, "transparent:\n  mode: {mode}\n  sources:")?;
        for (network, bits, secret) in &transparent.sources {
            writeln!(out, "    {network}/{bits}: {}", secret.describe())?;
        }
    }
    match &config.tls {
        Some((cert, key)) => {
            writeln!(out, "tls: {{ cert: {}, key: {} }}", cert.display(), key.display())?;
        }
        None => writeln!(out, "tls: a certificate of the local CA (narrows ca)")?,
    }
    stores::show_vault(&config.stores, out)?;
    let certificates = &config.certificates;
    if !config.issuers.is_empty() || !config.saml.is_empty() || !certificates.is_empty() {
        writeln!(out, "identity:")?;
    }
    certificates::show(certificates, out)?;
    if !config.issuers.is_empty() {
        writeln!(out, "  oidc:")?;
    }
    for issuer in &config.issuers {
        let client = config.clients.iter().find(|client| client.issuer == *issuer);
        write_issuer(issuer, client, out)?;
    }
    if !config.saml.is_empty() {
        writeln!(out, "  saml:")?;
    }
    for plan in &config.saml {
        write_saml(plan, out)?;
    }
    let signs_in = !config.clients.is_empty() || !config.saml.is_empty();
    if let Some(plan) = config.sign_in.as_ref().filter(|_| signs_in) {
        let (refresh, session, idle) = (time(plan.refresh), time(plan.session), time(plan.idle));
        writeln!(out, "  login:\n    url: {}", plan.page(""))?;
        writeln!(out, "    refresh: {refresh}\n    session: {session}\n    idle: {idle}")?;
    }
    let roles = config.sign_in.iter().flat_map(|plan| &plan.roles.0);
    let roles: Vec<_> = roles.filter(|(_, groups)| !groups.is_empty()).collect();
    if !roles.is_empty() {
        let none = config.issuers.is_empty() && config.saml.is_empty();
        let head = if none { "identity:\n" } else { "" };
        writeln!(out, "{head}  roles:")?;
    }
    for (role, groups) in roles {
        writeln!(out, "    {}: [{}]", role.as_str(), groups.join(", "))?;
    }
    writeln!(out, "resources:")?;
    for upstream in &config.upstreams {
        writeln!(out, "  {}:", upstream.resource.name)?;
        writeln!(out, "    type: {}", upstream.resource.kind)?;
        writeln!(out, "    address: {}", upstream.address)?;
        writeln!(out, "    database: {}", upstream.database)?;
        if let Some(made) = &upstream.credentials {
            writeln!(out, "    credentials: made by {}", made.describe())?;
        } else {
            writeln!(out, "    user: {}", upstream.user)?;
            let password = upstream.password.as_ref();
            writeln!(out, "    password: {}", password.map_or("none".into(), |p| p.describe()))?;
        }
        writeln!(out, "    tls: {}", tls(upstream.tls))?;
        if let Some(ca) = &upstream.ca {
            writeln!(out, "    ca: {}", ca.display())?;
        }
        writeln!(out, "    recording: {}", recorded(upstream.recorded))?;
        for (key, value) in upstream.options.as_object().into_iter().flatten() {
            writeln!(out, "    {key}: {value}")?;
        }
    }
    for site in &config.sites {
        write_site(site, out)?;
    }
    if !config.requests.is_empty() {
        writeln!(out, "requests:")?;
    }
    for (name, plan) in &config.requests {
        let by: Vec<&str> = plan.rule.by.iter().map(AsRef::as_ref).collect();
        let (by, needs) = (by.join(", "), plan.rule.needs);
        let (max, expires) = (time(plan.max), time(plan.expires));
        let keys = format!("by: [{by}], needs: {needs}, max: {max}, expires: {expires}");
        let escalate = plan.rule.escalate.as_ref().map(|more| {
            let to: Vec<&str> = more.to.iter().map(AsRef::as_ref).collect();
            format!(", escalate: {{ after: {}, to: [{}] }}", time(more.after), to.join(", "))
        });
        writeln!(out, "  {name}: {{ {keys}{} }}", escalate.unwrap_or_default())?;
    }
    writeln!(out, "lists:")?;
    for (name, values) in &config.policy.lists {
        writeln!(out, "  {name}: [{}]", values.join(", "))?;
    }
    writeln!(out, "access:")?;
    for line in &config.policy.access {
        let mut keys = Vec::new();
        push_list(&mut keys, "groups", &line.groups);
        push_list(&mut keys, "subjects", &line.subjects);
        push_list(&mut keys, "resources", &line.resources);
        push_list(&mut keys, "hours", &line.hours);
        let zone = line.zone.as_ref().and_then(|zone| zone.iana_name());
        keys.extend(zone.map(|zone| format!("timezone: {zone}")));
        keys.extend(line.until.as_ref().map(|until| format!("until: {}", until.value)));
        writeln!(out, "  - {{ {} }}", keys.join(", "))?;
    }
    writeln!(out, "rules:")?;
    for rule in &config.policy.rules {
        write_rule(rule, out)?;
    }
    write_bounds(config, out)
}

fn write_saml(plan: &SamlPlan, out: &mut String) -> std::fmt::Result {
    let (provider, service) = (&plan.provider, &plan.service);
    writeln!(out, "    - entity_id: {}", provider.entity_id)?;
    writeln!(out, "      sso_url: {}", provider.sso_url)?;
    writeln!(out, "      certificate: {} in force", provider.certificates.len())?;
    writeln!(out, "      label: {}", plan.label)?;
    writeln!(out, "      audience: {}", service.entity_id)?;
    match &provider.subject {
        SubjectFrom::NameId => writeln!(out, "      subject: nameid")?,
        SubjectFrom::Attribute(name) => writeln!(out, "      subject: {{attribute: {name}}}")?,
    }
    if !provider.subject_prefix.is_empty() {
        writeln!(out, "      subject_prefix: {}", provider.subject_prefix)?;
    }
    writeln!(out, "      groups_attribute: {}", provider.groups_attribute)?;
    if !provider.groups_prefix.is_empty() {
        writeln!(out, "      groups_prefix: {}", provider.groups_prefix)?;
    }
    if !provider.groups.is_empty() {
        writeln!(out, "      groups: [{}]", provider.groups.join(", "))?;
    }
    writeln!(out, "      clock_skew: {}", time(provider.clock_skew))?;
    writeln!(out, "      idp_initiated: {}", provider.idp_initiated)?;
    writeln!(out, "      sign_requests: {}", service.signer.is_some())
}

fn write_issuer(
    issuer: &IssuerPlan,
    client: Option<&ClientForm>,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(out, "    - issuer: {}", issuer.issuer)?;
    if let Some(client) = client {
        writeln!(out, "      client_id: {}", client.id)?;
        let secret = client.secret.as_ref();
        let secret = secret.map_or("none, a public client".into(), SecretForm::describe);
        writeln!(out, "      client_secret: {secret}")?;
        match &client.scopes {
            Some(scopes) => writeln!(out, "      scopes: [{}]", scopes.join(", "))?,
            None => writeln!(out, "      scopes: openid, and what its metadata lists")?,
        }
    }
    writeln!(out, "      audience: [{}]", issuer.audiences.join(", "))?;
    match &issuer.keys {
        KeysFrom::Discovery => writeln!(out, "      jwks: as its metadata says")?,
        KeysFrom::Url(url) => writeln!(out, "      jwks: {url}")?,
        KeysFrom::File(path) => writeln!(out, "      jwks: {}", path.display())?,
    }
    let named = |algorithm| ALGORITHMS.iter().find(|(_, one)| one == algorithm);
    let algorithms = issuer.algorithms.iter().filter_map(named).map(|(name, _)| *name);
    writeln!(out, "      algorithms: [{}]", algorithms.collect::<Vec<_>>().join(", "))?;
    writeln!(out, "      clock_skew: {}", time(issuer.clock_skew))?;
    writeln!(out, "      subject_claim: {}", issuer.subject_claim)?;
    writeln!(out, "      groups_claim: {}", issuer.groups_claim)?;
    for (key, prefix) in
        [("subject_prefix", &issuer.subject_prefix), ("groups_prefix", &issuer.groups_prefix)]
    {
        if !prefix.is_empty() {
            writeln!(out, "      {key}: {prefix}")?;
        }
    }
    if !issuer.groups.is_empty() {
        writeln!(out, "      groups: [{}]", issuer.groups.join(", "))?;
    }
    if let Some(scope) = &issuer.scope {
        writeln!(out, "      scope: {scope}")?;
    }
    writeln!(out, "      kind: {}", issuer.kind.as_str())?;
    for (claim, value) in &issuer.claims {
        writeln!(out, "      claims.{claim}: {value}")?;
    }
    Ok(())
}

fn write_site(site: &Site, out: &mut String) -> std::fmt::Result {
    writeln!(out, "  {}:", site.resource.name)?;
    writeln!(out, "    type: {}", site.resource.kind)?;
    if let Some(url) = &site.url {
        writeln!(out, "    url: {url}")?;
    }
    for (field, secret) in &site.headers {
        writeln!(out, "    headers.{field}: {}", secret.describe())?;
    }
    for (host, fields) in &site.credentials {
        for (field, secret) in fields {
            writeln!(out, "    credentials.{host}.{field}: {}", secret.describe())?;
        }
    }
    for (host, address) in &site.hosts {
        writeln!(out, "    hosts.{host}: {address}")?;
    }
    if !site.networks.is_empty() {
        let networks = site.networks.iter().map(|(address, bits)| format!("{address}/{bits}"));
        writeln!(out, "    networks: [{}]", networks.collect::<Vec<_>>().join(", "))?;
    }
    if let Some(hosts) = site.options.get("passthrough") {
        writeln!(out, "    passthrough: {hosts}")?;
    }
    if let Some(paths) = site.options.get("paths") {
        writeln!(out, "    paths: {paths}")?;
    }
    writeln!(out, "    tls: {}", tls(site.tls))?;
    if let Some(ca) = &site.ca {
        writeln!(out, "    ca: {}", ca.display())?;
    }
    writeln!(out, "    recording: {}", recorded(site.recorded))?;
    let http = site.options.as_object().into_iter().flatten();
    for (key, value) in http.filter(|(key, _)| {
        ["opaque", "inspect_max", "stream_inspect", "normalise"].contains(&&***key)
    }) {
        writeln!(out, "    http.{key}: {value}")?;
    }
    Ok(())
}

fn tls(tls: UpstreamTls) -> &'static str {
    match tls {
        UpstreamTls::Off => "off",
        UpstreamTls::Require => "require",
        UpstreamTls::VerifyFull => "verify-full",
    }
}

fn write_outgoing(outgoing: &Outgoing, out: &mut String) -> std::fmt::Result {
    if !outgoing.stream.is_empty() {
        writeln!(out, "  stream:")?;
    }
    for receiver in &outgoing.stream {
        let word = receiver.way.to_string();
        let (kind, address) = word.split_once(' ').unwrap_or_default();
        writeln!(out, "    - {{ {kind}: \"{address}\", texts: {} }}", receiver.texts)?;
    }
    if !outgoing.anchors.is_empty() {
        writeln!(out, "  anchors:")?;
    }
    for anchor in &outgoing.anchors {
        let word = anchor.to_string();
        let (kind, place) = word.split_once(' ').unwrap_or_default();
        writeln!(out, "    - {{ {kind}: \"{place}\" }}")?;
    }
    Ok(())
}

fn write_notify(places: &[Telling], out: &mut String) -> std::fmt::Result {
    if !places.is_empty() {
        writeln!(out, "approvals:\n  notify:")?;
    }
    for place in places {
        let word = place.way.to_string();
        let (kind, address) = word.split_once(' ').unwrap_or_default();
        let mut keys = vec![format!("{kind}: \"{address}\"")];
        if let TellingWay::Slack(_, Some(clicks)) = &place.way {
            let user = |(id, subject, groups): &(String, String, Vec<String>)| {
                format!("{id}: {{ subject: {subject}, groups: [{}] }}", groups.join(", "))
            };
            keys.push(format!("signing_secret: {}", clicks.signing_secret.describe()));
            let users: Vec<String> = clicks.users.iter().map(user).collect();
            keys.push(format!("users: {{ {} }}", users.join(", ")));
        }
        if !place.groups.is_empty() {
            keys.push(format!("groups: [{}]", place.groups.join(", ")));
        }
        keys.push(format!("texts: {}", place.texts));
        writeln!(out, "    - {{ {} }}", keys.join(", "))?;
    }
    Ok(())
}

fn write_bounds(config: &Config, out: &mut String) -> std::fmt::Result {
    let recording = &config.recording;
    writeln!(out, "recording:")?;
    match &recording.store {
        Some(store) => writeln!(out, "  store: \"{store}\"")?,
        None => writeln!(out, "  store: none")?,
    }
    writeln!(out, "  archive_every: {}", time(recording.archive_every))?;
    writeln!(out, "  keep_journal: {}", time(recording.keep_journal))?;
    if let Some(encryption) = &recording.encryption {
        writeln!(out, "  encryption: {}", encryption.describe())?;
    }
    if let Some(retention) = &recording.retention {
        writeln!(out, "  retention: {}", describe_retention(retention))?;
    }
    if let Some(encryption) = &recording.store_encryption {
        writeln!(out, "  store_encryption: {}", describe_store_encryption(encryption))?;
    }
    if !recording.scrub.is_empty() {
        let types: Vec<&str> = recording.scrub.iter().map(|kind| kind.name()).collect();
        writeln!(out, "  scrub: [{}]", types.join(", "))?;
    }
    writeln!(out, "  sync: {}", time(recording.sync))?;
    writeln!(out, "  payload: {}", payload(recording.payload.policy()))?;
    writeln!(out, "  on_failure: {}", on_failure(recording.on_failure))?;
    write_outgoing(&recording.outgoing, out)?;
    write_notify(&config.notify, out)?;
    writeln!(
        out,
        "hold: {{ buffer: {}B, buffer_total: {}B }}",
        config.hold_buffer_bytes, config.hold_total_bytes
    )?;
    writeln!(out, "catalog: {{ max_age: {} }}", time(config.catalog_max_age))?;
    writeln!(out, "sessions_max: {}", config.sessions_max)?;
    writeln!(out, "session: {{ outlive_token: {} }}", config.outlive_token)?;
    writeln!(out, "predicates: {{ budget: {} }}", config.guesses_max)?;
    writeln!(out, "postgres: {{ statement_bytes_max: {}B }}", config.statement_bytes_max)?;
    let key = config.installation_key.as_ref();
    let key = key.map_or("made in data_dir".to_owned(), super::scalar::SecretForm::describe);
    writeln!(out, "keys: {{ installation: {key} }}")
}

fn write_rule(rule: &RuleSpec, out: &mut String) -> std::fmt::Result {
    writeln!(out, "  - name: {}", rule.name.value)?;
    let mut applies = Vec::new();
    push_list(&mut applies, "groups", &rule.applies.groups);
    push_list(&mut applies, "subjects", &rule.applies.subjects);
    push_list(&mut applies, "kinds", &rule.applies.kinds);
    if !applies.is_empty() {
        writeln!(out, "    for: {{ {} }}", applies.join(", "))?;
    }
    if !rule.on.is_empty() {
        writeln!(out, "    on: {}", list(&rule.on))?;
    }
    if let Some(when) = &rule.when {
        writeln!(out, "    when: {}", when.value.trim().replace('\n', " "))?;
    }
    if let Some(window) = rule.window {
        writeln!(out, "    window: {}", time(window))?;
    }
    writeln!(out, "    {}: {}", rule.action.word(), action(&rule.action))?;
    if rule.observe {
        writeln!(out, "    mode: observe")?;
    }
    Ok(())
}

fn action(action: &ActionSpec) -> String {
    let mut keys = Vec::new();
    match action {
        ActionSpec::Mask(mask) => {
            push_list(&mut keys, "fields", &mask.fields);
            push_list(&mut keys, "types", &mask.types);
            let with = mask.with.as_ref().map_or("redact", |with| with.value.as_str());
            keys.push(format!("with: {with}"));
            if let Some(predicates) = &mask.predicates {
                keys.push(format!("predicates: {}", predicates.value));
            }
        }
        ActionSpec::Approve(approve) => {
            push_list(&mut keys, "by", &approve.by);
            keys.push(format!("needs: {}", approve.needs.unwrap_or(1)));
            keys.push(format!("wait: {}", time(approve.wait.unwrap_or(policy::WAIT_DEFAULT))));
            let expires = approve.expires.unwrap_or(policy::EXPIRES_DEFAULT);
            keys.push(format!("expires: {}", time(expires)));
            keys.push(match approve.grant.unwrap_or_default() {
                policy::Grant::Once => "grant: once".to_owned(),
                policy::Grant::Session => "grant: session".to_owned(),
                policy::Grant::For(length) => format!("grant: {}", time(length)),
            });
            if let Some(rows) = approve.rows_max {
                keys.push(format!("rows_max: {rows}"));
            }
            if let Some(more) = &approve.escalate {
                let mut inner = vec![format!("after: {}", time(more.after.unwrap_or_default()))];
                push_list(&mut inner, "to", &more.to);
                keys.push(format!("escalate: {{ {} }}", inner.join(", ")));
            }
        }
        ActionSpec::Block(message) | ActionSpec::Alert(message) => {
            return format!("{:?}", message.value);
        }
        ActionSpec::Limit(limit) => {
            let amounts =
                [("operations", limit.operations), ("rows", limit.rows), ("bytes", limit.bytes)];
            for (name, amount) in amounts {
                keys.extend(amount.map(|amount| format!("{name}: {amount}")));
            }
            let per = if limit.per == policy::Per::Resource { "resource" } else { "principal" };
            keys.push(format!("per: {per}"));
            keys.push(format!("window: {}", time(limit.window.unwrap_or(policy::WINDOW_DEFAULT))));
        }
        ActionSpec::Classify(classify) => {
            push_list(&mut keys, "fields", &classify.fields);
            push_list(&mut keys, "types", &classify.types);
        }
        ActionSpec::Record(record) => {
            keys.extend(record.payload.map(|kept| format!("payload: {}", payload(kept))));
        }
    }
    format!("{{ {} }}", keys.join(", "))
}

fn push_list(keys: &mut Vec<String>, name: &str, values: &[Located<String>]) {
    if !values.is_empty() {
        keys.push(format!("{name}: {}", list(values)));
    }
}

fn list(values: &[Located<String>]) -> String {
    let values: Vec<&str> = values.iter().map(|value| value.value.as_str()).collect();
    format!("[{}]", values.join(", "))
}

fn recorded(of: Recorded) -> String {
    format!(
        "{{ on_failure: {}, payload: {} }}",
        on_failure(of.on_failure),
        payload(of.payload.policy())
    )
}

fn payload(choice: PayloadPolicy) -> String {
    match choice {
        PayloadPolicy::Full => "full".to_owned(),
        PayloadPolicy::Head(bytes) => format!("{{ head: {bytes}B }}"),
        PayloadPolicy::None => "none".to_owned(),
    }
}

fn on_failure(choice: OnFailureForm) -> &'static str {
    match choice {
        OnFailureForm::Refuse => "refuse",
        OnFailureForm::Continue => "continue",
    }
}

/// `90s` as `1m30s`: the units that [`super::scalar::Time`] reads.
pub fn time(length: Duration) -> String {
    let millis = length.as_millis();
    if millis == 0 {
        return "0".to_owned();
    }
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = millis;
    units.iter().fold(String::new(), |mut text, (size, unit)| {
        if rest / size > 0 {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
        text
    })
}
