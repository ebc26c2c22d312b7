"""The offline world of scripts/sdk_suite.sh: one TLS server that plays every host.

* api.openai.com, localhost: the provider, who wants the account's key (WORLD_KEY) as the real one
  does, and answers 401 to any other.
* mcp.deepwiki.com: an MCP server, streamable HTTP.
* any other name: text that names the host and the path.

What arrives is kept, a line for each request or message, in FOLDER/received.jsonl, under the case
that FOLDER/case names at that moment.

    python world.py FOLDER PORT CERTIFICATE KEY        writes FOLDER/port when it listens
"""

import asyncio
import base64
import contextlib
import json
import os
import sys
from pathlib import Path

import provider
import uvicorn
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Route, WebSocketRoute

FOLDER = Path(sys.argv[1])
KEY = f"Bearer {os.environ['WORLD_KEY']}"
mcp = MCPServer("DeepWiki")


@mcp.tool()
def ask_question(repository: str, question: str) -> str:
    """Answers a question about a repository."""
    return json.dumps({"repository": repository, "question": question, "language": "Rust, grüßt"})


def keep(kind, path, body):
    case = (FOLDER / "case").read_text()
    with (FOLDER / "received.jsonl").open("a") as log:
        log.write(json.dumps({"case": case, "kind": kind, "path": path, "body": body}) + "\n")


def known(connection):
    return connection.headers.get("authorization") == KEY


async def asked(request):
    raw = await request.body()
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = {"bytes": base64.b64encode(raw).decode()}
        if "multipart" in request.headers.get("content-type", ""):
            body = {"parts": len(raw) > 0}
    keep(request.method if known(request) else f"{request.method} without the key", path, body)
    return body


def refused():
    error = {
        "message": "Incorrect API key provided",
        "type": "invalid_request_error",
        "code": "invalid_api_key",
    }
    return JSONResponse({"error": error}, status_code=401)


def endpoint(answer):
    """A provider's endpoint: answer(body, path parameters) says what."""

    async def serve(request):
        body = await asked(request)
        if not known(request):
            return refused()
        found = answer(body, request.path_params)
        return found if isinstance(found, Response) else JSONResponse(found)

    return serve


def missing(what):
    error = {
        "message": f"{what} not found",
        "type": "invalid_request_error",
        "code": None,
        "param": None,
    }
    return JSONResponse({"error": error}, status_code=404)


def events(said, named):
    async def text():
        for one in said:
            name = f"event: {one['type']}\n" if named else ""
            yield f"{name}data: {json.dumps(one, ensure_ascii=False)}\n\n"
            # Each event leaves by itself, as a model's words do.
            await asyncio.sleep(0)
        if not named:
            yield "data: [DONE]\n\n"

    return StreamingResponse(text(), media_type="text/event-stream; charset=utf-8")


def responses(body, _):
    previous = body.get("previous_response_id")
    if previous and previous not in provider.kept:
        return missing(previous)
    response = provider.respond(body)
    return events(provider.streamed(response), True) if body.get("stream") else response


def completions(body, _):
    completion = provider.complete(body)
    return events(provider.chunks(completion), False) if body.get("stream") else completion


def models(_, found):
    one = {"object": "model", "created": 1, "owned_by": "world"}
    if "model" in found:
        return {"id": found["model"], **one}
    return {"object": "list", "data": [{"id": "gpt-5.6", **one}]}


def conversation(body, found):
    provider.conversations[identity := provider.new("conv")] = list((body or {}).get("items") or [])
    return {"id": identity, "object": "conversation", "created_at": 1, "metadata": {}}


def forgotten(_, found):
    provider.conversations.pop(found["id"], None)
    return {"id": found["id"], "object": "conversation.deleted", "deleted": True}


def page(items):
    return {
        "object": "list",
        "data": items,
        "has_more": False,
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
    }


def item_kept(item):
    item = {"id": provider.new("msg"), **item}
    if item.get("role") and isinstance(item.get("content"), str):
        kind = "output_text" if item["role"] == "assistant" else "input_text"
        item |= {"type": "message", "status": "completed"}
        item["content"] = [{"type": kind, "text": item["content"], "annotations": []}]
    return item


def added(body, found):
    items = [item_kept(item) for item in body["items"]]
    provider.conversations[found["id"]].extend(items)
    return page(items)


async def listed(request):
    await asked(request)
    if not known(request):
        return refused()
    items = [item_kept(item) for item in provider.conversations.get(request.path_params["id"], [])]
    if request.query_params.get("order", "desc") == "desc":
        items.reverse()
    return JSONResponse(page(items[: int(request.query_params.get("limit", 20))]))


async def speech(request):
    body = await asked(request)
    if not known(request):
        return refused()
    return Response(provider.SOUND * len(body["input"]), media_type="audio/pcm")


async def traces(request):
    await asked(request)
    return Response(status_code=204) if known(request) else refused()


async def responses_socket(socket):
    if not known(socket):
        keep("WS without the key", socket.url.path, None)
        await socket.close()
        return
    await socket.accept()
    async for text in socket.iter_text():
        request = json.loads(text)
        keep("WS", socket.url.path, request)
        for event in provider.streamed(provider.respond(request)):
            await socket.send_text(json.dumps(event, ensure_ascii=False))


async def realtime_socket(socket):
    if not known(socket):
        keep("WS without the key", socket.url.path, None)
        await socket.close()
        return
    await socket.accept()
    session = provider.Realtime(socket.query_params.get("model"))
    for event in session.begin():
        await socket.send_text(json.dumps(event))
    async for text in socket.iter_text():
        event = json.loads(text)
        keep("WS", socket.url.path, event)
        for answer in session.take(event):
            await socket.send_text(json.dumps(answer, ensure_ascii=False))


async def elsewhere(request):
    keep(request.method, f"https://{request.url.hostname}{request.url.path}", None)
    await request.body()
    return PlainTextResponse(
        f"{request.url.hostname} says hello from {request.url.path}: grüß dich\n"
    )


def posted(path, answer):
    return Route(path, endpoint(answer), methods=["POST"])


provider_routes = [
    posted("/v1/responses", responses),
    posted("/v1/responses/compact", lambda body, _: provider.compact(body)),
    posted("/v1/chat/completions", completions),
    Route("/v1/models", endpoint(models)),
    Route("/v1/models/{model}", endpoint(models)),
    posted("/v1/conversations", conversation),
    Route("/v1/conversations/{id}", endpoint(forgotten), methods=["DELETE"]),
    posted("/v1/conversations/{id}/items", added),
    Route("/v1/conversations/{id}/items", listed),
    posted("/v1/audio/transcriptions", lambda body, _: {"text": "packaged voice ready"}),
    Route("/v1/audio/speech", speech, methods=["POST"]),
    Route("/v1/traces/ingest", traces, methods=["POST"]),
    WebSocketRoute("/v1/responses", responses_socket),
    WebSocketRoute("/v1/realtime", realtime_socket),
    Route(
        "/{path:path}",
        endpoint(lambda body, found: missing(found["path"])),
        methods=["GET", "POST", "DELETE"],
    ),
]
wiki = mcp.streamable_http_app(host="0.0.0.0")


async def mcp_kept(scope, receive, send):
    """The MCP server, with what arrives kept."""

    async def received():
        message = await receive()
        if message["type"] == "http.request" and message.get("body"):
            keep(
                scope["method"],
                f"https://mcp.deepwiki.com{scope['path']}",
                json.loads(message["body"]),
            )
        return message

    await wiki(scope, received if scope["type"] == "http" else receive, send)


@contextlib.asynccontextmanager
async def lifespan(_):
    async with mcp.session_manager.run():
        yield


world = Starlette(
    lifespan=lifespan,
    routes=[
        Host("api.openai.com", Starlette(routes=provider_routes)),
        Host("localhost", Starlette(routes=provider_routes)),
        Host("mcp.deepwiki.com", mcp_kept),
        Route("/{path:path}", elsewhere, methods=["GET", "POST", "PUT", "HEAD"]),
    ],
)


class Server(uvicorn.Server):
    servers = ()

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        (FOLDER / "port.new").write_text(str(port))
        (FOLDER / "port.new").rename(FOLDER / "port")


port, certificate, key = sys.argv[2:5]
server = Server(
    uvicorn.Config(
        world,
        host="127.0.0.1",
        port=int(port),
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level="warning",
        timeout_keep_alive=60,
        ws_max_size=64 << 20,
    )  # fmt: skip
)
server.run()
