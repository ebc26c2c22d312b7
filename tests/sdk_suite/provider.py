"""The model provider's protocols around script.py: Responses, chat completions, Realtime."""

import base64
import itertools
import json

from script import pieces, turn

numbers = itertools.count(1)
# What the provider keeps: by response and by conversation.
kept: dict[str, list] = {}
conversations: dict[str, list] = {}
SOUND = bytes(480)
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def new(kind):
    return f"{kind}_{next(numbers):024x}"


def functions(tools):
    """The functions of a request, of namespaces and of chat completions too."""
    for tool in tools or []:
        if tool.get("type") == "function":
            yield tool.get("function") or tool
        elif tool.get("type") == "namespace":
            yield from functions(tool.get("tools"))


def hosted(tools, items):
    """What the provider does itself before the model answers, once for each question."""
    asked = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    done = {item.get("type") for item in items[asked + 1 :]}
    for tool in tools or []:
        match tool.get("type"):
            case "web_search" | "web_search_preview" if "web_search_call" not in done:
                action = {
                    "type": "search",
                    "query": "Grüße",
                    "sources": [{"type": "url", "url": "https://docs.example/"}],
                }
                yield {
                    "type": "web_search_call",
                    "id": new("ws"),
                    "status": "completed",
                    "action": action,
                }
            case "code_interpreter" if "code_interpreter_call" not in done:
                yield {
                    "type": "code_interpreter_call",
                    "id": new("ci"),
                    "status": "completed",
                    "code": "1+1",
                    "container_id": "cntr_1",
                    "outputs": [],
                }
            case "image_generation" if "image_generation_call" not in done:
                yield {
                    "type": "image_generation_call",
                    "id": new("ig"),
                    "status": "completed",
                    "result": PICTURE,
                }


def items_of(request):
    given = request.get("input") or []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    before = kept.get(request.get("previous_response_id") or "", [])
    conversation = request.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if conversation:
        before = conversations.get(conversation, [])
    return before + given, conversation


def respond(request):
    """The finished response to a request."""
    items, conversation = items_of(request)
    tools = list(functions(request.get("tools")))
    schema = ((request.get("text") or {}).get("format") or {}).get("schema")
    output = []
    reasoning = request.get("reasoning") or {}
    if reasoning.get("summary"):
        thought = {
            "type": "reasoning",
            "id": new("rs"),
            "summary": [{"type": "summary_text", "text": "Ich überlege."}],
        }
        if "reasoning.encrypted_content" in (request.get("include") or []):
            thought["encrypted_content"] = base64.b64encode(b"sealed").decode()
        output.append(thought)
    output.extend(hosted(request.get("tools"), items))
    instructions = request.get("instructions") or ""
    together = bool(request.get("parallel_tool_calls"))
    for act, *what in turn(
        items, instructions, tools, request.get("tool_choice"), schema, together
    ):
        if act == "call":
            name, arguments = what
            output.append({
                "type": "function_call", "id": new("fc"), "call_id": new("call"), "name": name,
                "arguments": arguments, "status": "completed",
            })  # fmt: skip
        else:
            content = {"type": "output_text", "text": what[0], "annotations": [], "logprobs": []}
            output.append({
                "type": "message", "id": new("msg"), "role": "assistant", "status": "completed",
                "content": [content],
            })  # fmt: skip
    response = {
        "id": new("resp"),
        "object": "response",
        "created_at": 1,
        "model": request.get("model") or "m",
        "status": "completed",
        "output": output,
        "tools": request.get("tools") or [],
        "tool_choice": request.get("tool_choice") or "auto",
        "instructions": instructions or None,
        "parallel_tool_calls": together,
        "metadata": {},
        "error": None,
        "incomplete_details": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": usage(items),
        "previous_response_id": request.get("previous_response_id"),
    }
    kept[response["id"]] = items + output
    if conversation:
        conversations[conversation] = items + output
    return response


def usage(items):
    return {
        "input_tokens": 10 * len(items),
        "output_tokens": 5,
        "total_tokens": 10 * len(items) + 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def streamed(response):
    """The events by which a response is streamed."""
    sequence = itertools.count()

    def event(kind, **fields):
        return {"type": kind, "sequence_number": next(sequence), **fields}

    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        place = {"item_id": item["id"], "output_index": index}
        started = {**item, "status": "in_progress"} if "status" in item else dict(item)
        if item["type"] == "message":
            started["content"] = []
        elif item["type"] == "function_call":
            started["arguments"] = ""
        elif item["type"] == "reasoning":
            started["summary"] = []
        yield event("response.output_item.added", output_index=index, item=started)
        match item["type"]:
            case "message":
                part, place = item["content"][0], {**place, "content_index": 0}
                yield event("response.content_part.added", **place, part={**part, "text": ""})
                for piece in pieces(part["text"]):
                    yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
                yield event("response.output_text.done", **place, text=part["text"], logprobs=[])
                yield event("response.content_part.done", **place, part=part)
            case "function_call":
                for piece in pieces(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **place, delta=piece)
                done = {"name": item["name"], "arguments": item["arguments"]}
                yield event("response.function_call_arguments.done", **place, **done)
            case "reasoning":
                part, place = item["summary"][0], {**place, "summary_index": 0}
                yield event(
                    "response.reasoning_summary_part.added", **place, part={**part, "text": ""}
                )
                for piece in pieces(part["text"]):
                    yield event("response.reasoning_summary_text.delta", **place, delta=piece)
                yield event("response.reasoning_summary_text.done", **place, text=part["text"])
                yield event("response.reasoning_summary_part.done", **place, part=part)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=response)


def compact(request):
    items, _ = items_of(request)
    users = [item for item in items if item.get("role") == "user"]
    sealed = base64.b64encode(json.dumps(items).encode()).decode()
    output = users + [{"type": "compaction", "id": new("cmp"), "encrypted_content": sealed}]
    return {
        "id": new("resp"), "object": "response.compaction", "created_at": 1, "output": output,
        "usage": usage(items),
    }  # fmt: skip


def from_messages(messages):
    """The items that chat completions' messages amount to, and the instructions."""
    items, instructions = [], ""
    for message in messages:
        match message["role"]:
            case "system" | "developer":
                instructions += message["content"]
            case "tool":
                items.append({"type": "function_call_output", "output": message["content"]})
            case _:
                if message.get("content"):
                    items.append({"role": message["role"], "content": message["content"]})
                for call in message.get("tool_calls") or []:
                    items.append({"type": "function_call", "name": call["function"]["name"]})
    return items, instructions


def complete(request):
    """The finished chat completion."""
    items, instructions = from_messages(request["messages"])
    tools = list(functions(request.get("tools")))
    schema = ((request.get("response_format") or {}).get("json_schema") or {}).get("schema")
    message = {"role": "assistant", "content": None}
    calls = []
    together = bool(request.get("parallel_tool_calls"))
    for act, *what in turn(
        items, instructions, tools, request.get("tool_choice"), schema, together
    ):
        if act == "call":
            function = {"name": what[0], "arguments": what[1]}
            calls.append({"id": new("call"), "type": "function", "function": function})
        else:
            message["content"] = what[0]
    if calls:
        message["tool_calls"] = calls
    tokens = {
        "prompt_tokens": 10 * len(items),
        "completion_tokens": 5,
        "total_tokens": 10 * len(items) + 5,
    }
    return {
        "id": new("chatcmpl"),
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        ],
        "usage": tokens,
    }


def chunks(completion):
    """The chunks by which a chat completion is streamed."""
    choice = completion["choices"][0]
    message = choice["message"]

    def chunk(delta, finish=None, **more):
        one = {"index": 0, "delta": delta, "finish_reason": finish}
        return {
            **completion,
            "object": "chat.completion.chunk",
            "choices": [one],
            "usage": None,
            **more,
        }

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(message["content"]) if message["content"] else []:
        yield chunk({"content": piece})
    for index, call in enumerate(message.get("tool_calls", [])):
        opened = {
            **call,
            "index": index,
            "function": {"name": call["function"]["name"], "arguments": ""},
        }
        yield chunk({"tool_calls": [opened]})
        for piece in pieces(call["function"]["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, choice["finish_reason"])
    yield chunk({}, choices=[], usage=completion["usage"])


class Realtime:
    """The server's side of one Realtime session: events in, events out."""

    def __init__(self, model):
        self.session = {
            "type": "realtime", "object": "realtime.session", "id": new("sess"), "model": model,
            "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto",
        }  # fmt: skip
        self.items = []
        self.sound = b""

    def begin(self):
        yield {"type": "session.created", "event_id": new("event"), "session": self.session}

    def take(self, event):
        for answer in self._take(event):
            yield {"event_id": new("event"), **answer}

    def _take(self, event):
        match event["type"]:
            case "session.update":
                self.session.update(event["session"])
                yield {"type": "session.updated", "session": self.session}
            case "conversation.item.create":
                yield from self._add({"id": new("item"), **event["item"]})
            case "input_audio_buffer.append":
                self.sound += base64.b64decode(event["audio"])
            case "input_audio_buffer.commit":
                item = {
                    "id": new("item"),
                    "type": "message",
                    "role": "user",
                    "status": "completed",
                    "content": [
                        {"type": "input_audio", "transcript": f"{len(self.sound)} bytes of sound"}
                    ],
                }
                yield {
                    "type": "input_audio_buffer.committed",
                    "item_id": item["id"],
                    "previous_item_id": None,
                }
                yield from self._add(item)
                self.sound = b""
            case "response.create":
                yield from self._respond(event.get("response") or {})

    def _add(self, item):
        before = self.items[-1]["id"] if self.items else None
        self.items.append(item)
        yield {"type": "conversation.item.added", "previous_item_id": before, "item": item}
        yield {"type": "conversation.item.done", "previous_item_id": before, "item": item}

    def _respond(self, asked):
        session = {**self.session, **asked}
        tools = list(functions(session["tools"]))
        acts = turn(self.items, session["instructions"] or "", tools, session["tool_choice"], None)
        spoken = "audio" in session["output_modalities"]
        response = {
            "object": "realtime.response", "id": new("resp"), "status": "in_progress", "output": [],
            "status_details": None, "output_modalities": session["output_modalities"],
        }  # fmt: skip
        yield {"type": "response.created", "response": response}
        output = []
        for index, (act, *what) in enumerate(acts):
            place = {"response_id": response["id"], "output_index": index}
            if act == "call":
                item = {
                    "id": new("item"),
                    "object": "realtime.item",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": new("call"),
                    "name": what[0],
                    "arguments": what[1],
                }
                started = {**item, "status": "in_progress", "arguments": ""}
                yield {"type": "response.output_item.added", **place, "item": started}
                place["item_id"] = item["id"]
                for piece in pieces(what[1]):
                    yield {
                        "type": "response.function_call_arguments.delta",
                        **place,
                        "call_id": item["call_id"],
                        "delta": piece,
                    }
                yield {
                    "type": "response.function_call_arguments.done",
                    **place,
                    "call_id": item["call_id"],
                    "name": what[0],
                    "arguments": what[1],
                }
            else:
                kind = (
                    {"type": "output_audio", "transcript": what[0]}
                    if spoken
                    else {"type": "output_text", "text": what[0]}
                )
                item = {
                    "id": new("item"),
                    "object": "realtime.item",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [kind],
                }
                started = {**item, "status": "in_progress", "content": []}
                yield {"type": "response.output_item.added", **place, "item": started}
                place |= {"item_id": item["id"], "content_index": 0}
                words = "response.output_audio_transcript" if spoken else "response.output_text"
                for piece in pieces(what[0]):
                    yield {"type": f"{words}.delta", **place, "delta": piece}
                    if spoken:
                        sound = base64.b64encode(SOUND).decode()
                        yield {"type": "response.output_audio.delta", **place, "delta": sound}
                if spoken:
                    yield {"type": "response.output_audio.done", **place}
                yield {
                    "type": f"{words}.done",
                    **place,
                    ("transcript" if spoken else "text"): what[0],
                }
                place.pop("content_index"), place.pop("item_id")
            before = self.items[-1]["id"] if self.items else None
            self.items.append(item)
            output.append(item)
            yield {"type": "conversation.item.added", "previous_item_id": before, "item": item}
            place = {"response_id": response["id"], "output_index": index}
            yield {"type": "response.output_item.done", **place, "item": item}
        tokens = {
            "total_tokens": 25, "input_tokens": 20, "output_tokens": 5,
            "input_token_details": {"text_tokens": 20, "audio_tokens": 0, "cached_tokens": 0},
            "output_token_details": {"text_tokens": 5, "audio_tokens": 0},
        }  # fmt: skip
        done = {**response, "status": "completed", "output": output, "usage": tokens}
        yield {"type": "response.done", "response": done}
