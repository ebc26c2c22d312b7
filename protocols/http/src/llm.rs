//! What a request to a model endpoint names: the model, and the tools it may use.

use std::sync::Arc;

use serde_json::Value;

/// Paths of model endpoints that are passed on, below an optional `/v1`: those that ask a model,
/// and those that say which there are. What keeps things at the provider (files, assistants,
/// fine-tuning, vector stores) is no use of a model, and a way out.
const PATHS: [&str; 12] = [
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/messages",
    "/messages/count_tokens",
    "/models",
    "/moderations",
    "/realtime",
    "/rerank",
    "/responses",
    "/responses/compact",
    "/traces/ingest",
];

/// Whether the gateway passes on requests for this path of a model endpoint.
#[must_use]
pub fn is_known(path: &str) -> bool {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let one = |base: &str| {
        let rest = path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    PATHS.contains(&path) || one("/models") || one("/responses")
}

/// How deep tools and sessions are looked for.
const DEPTH_MAX: u8 = 8;

/// The model and the tools of a request's body. `None` where they cannot be known: the body is
/// there and no JSON object, so that an endpoint may read it in a way that nobody judged.
///
/// Functions are named by their names, hosted tools (`web_search`, `mcp`, `code_interpreter`) by
/// their types, so that a rule can refuse what would reach out from the provider's side. Sessions
/// (Realtime) and groups of tools are looked into.
#[must_use]
pub fn named(body: &[u8]) -> Option<(Arc<str>, Vec<Arc<str>>)> {
    if body.is_empty() {
        return Some(("".into(), Vec::new()));
    }
    let Ok(Value::Object(request)) = serde_json::from_slice::<Value>(body) else { return None };
    let mut found = Found::default();
    found.look(&Value::Object(request), DEPTH_MAX);
    Some((found.model.unwrap_or_else(|| "".into()), found.tools))
}

#[derive(Default)]
struct Found {
    model: Option<Arc<str>>,
    tools: Vec<Arc<str>>,
}

impl Found {
    fn look(&mut self, request: &Value, depth: u8) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(Arc::<str>::from);
        if self.model.is_none() {
            self.model = text(request.get("model"));
        }
        let Some(depth) = depth.checked_sub(1) else { return };
        for tool in request.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice) {
            let name = match text(tool.get("type")).as_deref() {
                None | Some("function" | "custom") => {
                    text(tool.get("name")).or_else(|| text(tool.pointer("/function/name")))
                }
                Some(hosted) => Some(hosted.into()),
            };
            self.tools.extend(name);
            self.look(tool, depth);
        }
        for inner in ["session", "response"] {
            if let Some(inner) = request.get(inner) {
                self.look(inner, depth);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_a_model_is_known_and_what_keeps_things_at_the_provider_is_not() {
        for known in ["/v1/responses", "/responses", "/v1/models/gpt-x", "/v1/chat/completions"] {
            assert!(is_known(known), "{known}");
        }
        let refused = ["/v1/files", "/v1/responses/a/b", "/v1/models/", "/v1", "/", "/v1/evals"];
        for refused in refused {
            assert!(!is_known(refused), "{refused}");
        }
    }

    #[test]
    fn functions_are_named_by_name_and_hosted_tools_by_type() {
        let body = br#"{"model":"m","tools":[{"type":"function","name":"a"},
            {"type":"function","function":{"name":"b"}},{"type":"web_search"},
            {"type":"mcp","server_url":"https://x"},{"name":"c","input_schema":{}}]}"#;
        let (model, tools) = named(body).expect("an object");
        assert_eq!(&*model, "m");
        let tools: Vec<&str> = tools.iter().map(AsRef::as_ref).collect();
        assert_eq!(tools, ["a", "b", "web_search", "mcp", "c"]);
        assert_eq!(named(b""), Some(("".into(), Vec::new())));
        for unknown in [&b"not json"[..], b"[]", b"\xef\xbb\xbf{}", b"{\"a\":NaN}", b"\x1f\x8b"] {
            assert_eq!(named(unknown), None, "{unknown:?}");
        }
        let nested = br#"{"session":{"model":"m","tools":[{"type":"namespace","tools":[
            {"type":"web_search"}]}]}}"#;
        let (model, tools) = named(nested).expect("an object");
        assert_eq!((&*model, tools.len(), &*tools[1]), ("m", 2, "web_search"));
    }
}
