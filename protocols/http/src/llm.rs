//! What a request to a model endpoint names: the model, and the tools it may use.

use std::sync::Arc;

use serde_json::Value;

use crate::canonical;

/// Paths of model endpoints that are passed on, below an optional `/v1`: those that ask a model,
/// and those that say which there are. What keeps things at the provider (files, assistants,
/// fine-tuning, vector stores) is no use of a model, and a way out: a resource has to list it.
const PATHS: [&str; 14] = [
    "/audio/speech",
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/images/generations",
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

/// Whether the gateway passes on requests for this path of a model endpoint, whose resource lists
/// others besides ([`listed`]).
#[must_use]
pub fn is_passed(path: &str, others: &[Arc<str>]) -> bool {
    let path = below_version(path);
    let one = |base: &str| {
        let rest = path.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    let listed = |base: &Arc<str>| {
        let rest = path.strip_prefix(&**base);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PATHS.contains(&path) || one("/models") || one("/responses") || others.iter().any(listed)
}

/// A path that a resource lists besides: it, and all that is below it, is passed on. `/v1` before
/// it may be left out, here and in requests.
///
/// # Errors
///
/// It is not a path in its one form, or it is all of them; in words.
pub fn listed(text: &str) -> Result<Arc<str>, &'static str> {
    let canonical = canonical::path(text, false).map_err(|malformed| malformed.what)?;
    if canonical.query.is_some() {
        return Err("it has a query, which is not part of a path");
    }
    if text.contains('*') {
        return Err("it has a *; all that is below a path passes as it is");
    }
    let path = below_version(&canonical.path).trim_end_matches('/');
    if path.is_empty() {
        return Err("it is every path; a resource of type: http passes them all");
    }
    Ok(path.into())
}

fn below_version(path: &str) -> &str {
    path.strip_prefix("/v1").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
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
            assert!(is_passed(known, &[]), "{known}");
        }
        let refused = ["/v1/files", "/v1/responses/a/b", "/v1/models/", "/v1", "/", "/v1/evals"];
        for refused in refused {
            assert!(!is_passed(refused, &[]), "{refused}");
        }
    }

    #[test]
    fn a_listed_path_passes_with_what_is_below_it_and_nothing_beside_it() {
        let others = ["/v1/conversations", "/files/"].map(|text| listed(text).expect("a path"));
        let passed = ["/v1/conversations", "/conversations/c/items", "/v1/files", "/files/f"];
        for passed in passed {
            assert!(is_passed(passed, &others), "{passed}");
        }
        for refused in ["/v1/conversationsx", "/v1/file", "/v1x/files", "/v1/v1/files", "/v1"] {
            assert!(!is_passed(refused, &others), "{refused}");
        }
        let odd = ["files", "/", "/v1", "/v1/", "/a/../b", "/files/*", "/files?x", "//files", ""];
        for odd in odd {
            assert!(listed(odd).is_err(), "{odd}");
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
