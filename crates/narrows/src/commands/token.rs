//! `narrows token create|list|revoke`.

use serde_json::json;

use crate::args::{Common, TokenCommand};
use crate::client::{Client, encoded};
use crate::output::{self, Cell, Out, Tone, tone_of};

/// Runs a token command.
pub fn token(common: &Common, command: TokenCommand) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let out = Out::stdout(runtime::clock::now());
    match command {
        TokenCommand::Create { name, groups, kind, ttl } => {
            let body = json!({
                "subject": name, "groups": groups, "kind": kind.as_str(), "ttl": ttl,
            });
            let made: admin::TokenCreated = client.post("/api/v1/tokens", &body)?;
            if common.json {
                return output::json(&json!({
                    "id": made.id,
                    "token": made.token,
                    "subject": made.subject,
                    "groups": made.groups,
                    "expires_at": made.expires_at,
                }));
            }
            let ends = made.expires_at.as_deref();
            let ends =
                ends.map_or("until revoked".to_owned(), |end| format!("ends {}", out.ago(end)));
            // The token alone goes to standard output, so that $(narrows token create …) works.
            eprintln!(
                "{} {} [{}], {ends}; revoke it with: narrows token revoke {}",
                made.kind,
                made.subject,
                made.groups.join(", "),
                made.id
            );
            eprintln!("This is the only time the token is shown:");
            output::line(&made.token)
        }
        TokenCommand::List => {
            let tokens: Vec<admin::TokenView> = client.get("/api/v1/tokens")?;
            if common.json {
                return output::json(&tokens);
            }
            if tokens.is_empty() {
                return output::line(
                    "no tokens yet; make one with: narrows token create NAME --group GROUP",
                );
            }
            let rows: Vec<Vec<Cell>> = tokens.iter().map(|token| row(out, token)).collect();
            let heading = ["ID", "STATUS", "SUBJECT", "KIND", "GROUPS", "MADE", "ENDS"];
            output::print(&out.table(&heading, &rows))
        }
        TokenCommand::Revoke { id } => {
            let path = format!("/api/v1/tokens/{}", encoded(&id));
            let token: admin::TokenView = client.delete(&path)?;
            if common.json {
                return output::json(&token);
            }
            output::line(&format!(
                "revoked {} of {}; its sessions end now",
                token.id, token.subject
            ))
        }
    }
}

fn row(out: Out, token: &admin::TokenView) -> Vec<Cell> {
    let ends = token.expires_at.as_deref().map_or("never".to_owned(), |end| out.ago(end));
    vec![
        Cell::from(&token.id),
        Cell::new(tone_of(&token.status), &token.status),
        Cell::from(&token.subject),
        Cell::from(token.kind.clone().unwrap_or_default()),
        Cell::from(token.groups.join(", ")),
        Cell::new(
            Tone::Faint,
            token.created_at.as_deref().map_or_else(String::new, |at| out.ago(at)),
        ),
        Cell::from(ends),
    ]
}
