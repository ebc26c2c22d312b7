//! The OpenAPI document, from the routes themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::{
    access, approvals, audit, gateway, grants, health, holds, sessions, slack, tokens, whoami,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Narrows", description = "The administrative API of a Narrows gateway."),
    paths(
        tokens::create, tokens::list, tokens::revoke,
        sessions::list, sessions::show, sessions::events, sessions::kill,
        audit::who, audit::fields, audit::pii, audit::search, audit::erase, audit::rewrap,
        audit::reindex,
        holds::hold, holds::release, holds::holds,
        approvals::list, approvals::show, approvals::approve, approvals::deny, slack::actions,
        approvals::revoke,
        access::request, access::list, access::who_can, access::what_can,
        whoami::whoami, whoami::logout, grants::device_authorization, grants::token,
        gateway::resources, gateway::gateways, gateway::reload, gateway::explain,
        health::healthz, health::readyz, health::metrics, health::openapi,
    ),
    modifiers(&Bearer),
    security(("token" = [])),
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "The admin token (data_dir/admin.token), or the token of somebody: what they may \
                 do follows from their role (identity.roles) and the groups of rules.",
            ))
            .build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The document as JSON text.
#[must_use]
pub fn document() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}
