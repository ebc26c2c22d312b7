"""What the scripted model says: a function of what it was asked, and of nothing else.

It calls each tool that it is offered once, with arguments made from the tool's schema, then hands
over where it may, then answers in the form that was asked for. Where the instructions or the last
question say what to call a tool with, or what to reply, it does that.
"""

import json
import re

CALLS_MAX = 3
STRINGS = {
    "city": "Tokyo",
    "country": "Japan",
    "order_id": "ORD-1001",
    "confirmation_number": "ABC123",
    "email": "ada@example.com",
    "language": "Spanish",
    "shell": "bash",
    "cmd": "echo Grüße",
    "command": "echo Grüße",
}
REPLY = re.compile(
    r"(?:[Rr]eply|[Aa]nswer|[Rr]espond)(?: to [\w' ]+?)?(?: only| with| exactly)*\s+"
    r"(?:exactly |only |with )*'?([A-Z][A-Z0-9]*(?:[_: ][A-Z0-9]+)*(?::\d+)?|\d{3,})\b"
)
INCLUDED = re.compile(r"include ([A-Z]+:\d+)")
REMEMBERED = re.compile(r"\b(?:is|word|token) ([A-Z]{4,}|\d{3})\b")
ASKED = re.compile(r"^What\b.*\?", re.DOTALL)


def value(schema, root, said, name="", depth=0):
    """An instance of a JSON schema."""
    if "$ref" in schema:
        found = root
        for part in schema["$ref"].lstrip("#/").split("/"):
            found = found[part]
        schema = found
    if schema.get("type") == "null" or name and re.search(rf"\b{re.escape(name)} null\b", said):
        return None
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            choices = [one for one in schema[word] if one.get("type") != "null"]
            return value(choices[0], root, said, name, depth + 1) if choices else None
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return "pass" if "pass" in schema["enum"] else schema["enum"][0]
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    found = (
        re.search(rf"\b{re.escape(name)}[ =]*(?:'([^']*)'|(\d+|[A-Z][A-Z_]{{3,}}))", said)
        if name
        else None
    )
    found = found and (found[1] if found[1] is not None else found[2])
    match kind:
        case "object":
            parts = schema.get("properties", {})
            deep = depth > 6
            wanted = schema.get("required", parts) if deep else parts
            return {one: value(parts[one], root, said, one, depth + 1) for one in wanted}
        case "array":
            if depth > 6:
                return []
            listed = name and re.search(rf"\b{re.escape(name)}[ =]*(\[[\d, ]+\])", said)
            if listed:
                return json.loads(listed[1])
            one = value(schema.get("items", {}), root, said, name, depth + 1)
            return [one] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            return int(found) if found and found.isdigit() else schema.get("minimum", 7)
        case "boolean":
            return name in ("verified", "approved")
    return found or STRINGS.get(name) or f"the {name or 'text'}: Grüße"


def text_of(item):
    content = item.get("content") or item.get("output") or ""
    if isinstance(content, str):
        return content
    parts = (
        part.get("text") or part.get("transcript") or ""
        for part in content
        if isinstance(part, dict)
    )
    return " ".join(parts)


def turn(items, instructions, tools, choice, schema, together=False):
    """The next acts of the model: ("call", name, arguments) or ("say", text)."""
    asked = max((at for at, item in enumerate(items) if item.get("role") == "user"), default=-1)
    question = text_of(items[asked]) if asked >= 0 else ""
    since = items[asked + 1 :]
    called = [item["name"] for item in since if item.get("type") == "function_call"]
    outputs = [text_of(item) for item in since if item.get("type") == "function_call_output"]
    if choice != "none":
        names = {tool["name"]: tool for tool in tools}
        if isinstance(choice, dict):
            wanted = [choice.get("name") or choice.get("function", {}).get("name")]
        elif choice == "required" or not told(question) or any(name in question for name in names):
            everything = json.dumps(items)
            plain = [name for name in names if not name.startswith("transfer_to_")]
            moves = [name for name in names if name not in plain and name not in everything]
            wanted = plain[: max(0, CALLS_MAX)] + moves[:1]
        else:
            wanted = []
        open_ = [name for name in wanted if name in names and name not in called]
        if choice == "required" and not open_ and not called:
            open_ = list(names)[:1]
        if open_:
            said = f"{instructions} {question}"
            if not together:
                open_ = open_[:1]
            return [("call", name, arguments(names[name], said)) for name in open_]
    if schema:
        return [("say", json.dumps(value(schema, schema, f"{instructions} {question}")))]
    return [("say", answer(instructions, question, outputs, items))]


def arguments(tool, said):
    schema = tool.get("parameters") or {}
    # Where several tools are named, what stands behind a name is of that one.
    said = said[max(0, said.find(tool["name"])) :]
    return json.dumps(value({"type": "object", **schema}, schema, said))


def told(question):
    """Whether the question says what to reply, or asks for what was said before."""
    return reply_in(question) or ASKED.search(question) and "only" in question


def reply_in(text):
    found = REPLY.findall(text)
    return found[0] if found else None


def answer(instructions, question, outputs, items):
    if ASKED.search(question):
        words = [word for item in items[:-1] for word in REMEMBERED.findall(text_of(item))]
        words += [
            text_of(item)
            for item in items
            if re.fullmatch("[A-Z]{4,}", text_of(item)) and item.get("output")
        ]
        if words:
            prefix = re.search(r"[Pp]refix .* with ([A-Z]+:)", instructions)
            return (prefix[1] if prefix else "") + words[-1]
    if found := INCLUDED.search(question):
        return f"Found {found[1]}."
    if found := reply_in(question):
        return found
    if found := REPLY.findall(instructions):
        return found[-1] if any("reject" in output.lower() for output in outputs) else found[0]
    last = f" The last tool said: {outputs[-1][:200]}" if outputs else ""
    return f"Grüße, Welt. You asked: {question[:80]}{last}"


def pieces(text):
    """As it is streamed: cut anywhere, also inside of words."""
    return [text[at : at + 7] for at in range(0, len(text), 7)] or [""]
