//! Model endpoints: known paths, prompts, tools.

use super::check;

conversations! {
    an_unknown_path_of_a_model_endpoint_is_refused: r#"
client >> POST /r/ai/v1/files ; token ; field content-type "application/json" ; body "{}"
"#;
    a_path_that_the_resource_lists_passes_with_what_is_below_it_and_nothing_beside_it: r#"
client >> POST /r/ai/v1/conversations ; token ; field content-type "application/json" ; body "{}"
server >> 200 ; field content-type "application/json" ; body "{\"id\":\"c\"}"
client >> next
client >> GET /r/ai/v1/conversations/c/items ; token
server >> 200 ; field content-type "application/json" ; body "[]"
client >> next
client >> GET /r/ai/v1/conversations2 ; token
client >> next
client >> GET /r/ai/v1/conversations/../files ; token
client >> next
client >> GET /r/ai/v1/conversations/%2e%2e/files ; token
client >> next
client >> GET /r/ai/v1/conversations%2ffiles ; token
"#;
    r8_what_is_told_to_a_listed_path_is_masked: r#"
rule find mask types:US_SSN
client >> POST /r/ai/v1/conversations ; token ; field content-type "application/json" ; body "{\"items\":[{\"content\":\"my number is 123-45-6789\"}]}"
server >> 200 ; field content-type "application/json" ; body "{\"said\":\"123-45-6789\"}"
client >> next
client >> POST /r/ai/v1/conversations ; token ; field content-type "multipart/form-data; boundary=b" ; body "--b\x0d\x0a\x0d\x0a123-45-6789\x0d\x0a--b--"
"#;
    a_model_is_asked: r#"
client >> POST /r/ai/v1/chat/completions ; token ; field content-type "application/json" ; body "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
server >> 200 ; field content-type "text/event-stream" ; chunked
server >> data "data: {\"delta\":\"h\"}\n\n"
server >> data "data: [DONE]\n\n" ; end
"#;
    r8_what_a_model_is_told_is_masked: r#"
rule find mask types:US_SSN
client >> POST /r/ai/v1/chat/completions ; token ; field content-type "application/json" ; body "{\"model\":\"m\",\"messages\":[{\"content\":\"my number is 123-45-6789\"}]}"
server >> 200 ; field content-type "application/json" ; body "{\"content\":\"123-45-6789, you said\"}"
"#;
    p2_a_prompt_that_cannot_be_read_is_refused: r#"
rule find mask types:US_SSN
client >> POST /r/ai/v1/chat/completions ; token ; field content-type "application/json" ; body "{\"model\":"
"#;
    tools_that_reach_out_are_blocked: r#"
rule no-web when `"web_search" in llm.tools` block "the model does not search the web for you"
client >> POST /r/ai/v1/responses ; token ; field content-type "application/json" ; body "{\"model\":\"m\",\"tools\":[{\"type\":\"web_search\"}]}"
client >> next
client >> POST /r/ai/v1/responses ; token ; field content-type "application/json" ; body "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]}"
server >> 200 ; field content-type "application/json" ; body "{}"
"#;
    other_models_are_blocked: r#"
rule only-small when `llm.model != "small"` block "the small one only"
client >> POST /r/ai/v1/responses ; token ; body "{\"model\":\"large\"}"
client >> next
client >> POST /r/ai/v1/responses ; token ; body "{\"model\":\"small\"}"
server >> 204
"#;
    p2_tools_that_cannot_be_read_are_refused: r#"
rule no-web when `"web_search" in llm.tools` block "the model does not search the web for you"
client >> POST /r/ai/v1/responses ; token ; field content-type "application/json" ; field content-encoding "gzip" ; body "\x1f\x8b{}"
client >> next
client >> POST /r/ai/v1/responses ; token ; field content-type "application/json" ; body "{\"temperature\":NaN}"
client >> next
client >> POST /r/ai/v1/responses ; token ; body "{\"tools\":[{\"type\":\"namespace\",\"tools\":[{\"type\":\"web_search\"}]}]}"
"#;
}
