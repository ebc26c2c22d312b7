"""A WebSocket client and server with the gateway between them, on both faces."""

import asyncio
import json
import os
import ssl

from story import REDACTED, check, step, tell
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

TOKEN = os.environ["TOKEN"]
REVERSE = os.environ["REVERSE"]
PROXY = os.environ["HTTP_PROXY"]
CLEAR, SECURE = int(os.environ["CLEAR_PORT"]), int(os.environ["SECURE_PORT"])

# Messages of a flood: more than any buffer on the way has room for.
MANY = 40

heard = []


async def answer(socket):
    async for message in socket:
        heard.append(message)
        said = message if isinstance(message, str) else message.hex()
        await socket.send(json.dumps({"said": said, "ssn": "536-22-8726"}) + os.environ.get("END", ""))


def server(port):
    tls = None
    if port == SECURE:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.environ["CERTIFICATE"], os.environ["KEY"])
    return serve(answer, "127.0.0.1", port, ssl=tls)


def through(way):
    if way == "reverse":
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return connect(f"ws://{REVERSE}/r/live/talk", additional_headers=headers, proxy=None)
    if way == "egress":
        return connect("ws://clear.test/talk", proxy=PROXY)
    trusted = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    return connect("wss://secure.test/talk", proxy=PROXY, ssl=trusted)


async def end_of(socket):
    """How it was closed, when nothing more comes from it."""
    try:
        message = await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd
    raise AssertionError(f"something came: {message[:80]!r}")


async def talk(way, port):
    async with server(port), through(way) as socket:
        for message in ["hello", b"\x00\x01", "x" * 100_000]:
            await socket.send(message)
            got = json.loads(await socket.recv())
            wanted = message if isinstance(message, str) else message.hex()
            check(got, {"said": wanted, "ssn": REDACTED}, way)
        before = len(heard)
        await socket.send("my card is 4012 8888 8888 1881")
        end = await end_of(socket)
        check(end.code, 1008, "code")
        check("blocked" in end.reason, True, end.reason)
        check(len(heard), before, "messages that the server got")


@step
async def on_the_reverse_face():
    await talk("reverse", CLEAR)


@step
async def through_the_proxy():
    await talk("egress", CLEAR)


@step
async def through_the_proxy_inside_tls():
    await talk("tls", SECURE)


@step
async def a_message_that_ends_with_a_separator_is_masked_too():
    os.environ["END"] = "\x1e"
    async with server(CLEAR), through("reverse") as socket:
        await socket.send("hello")
        check("536-22" in await socket.recv(), False, "a masked field")
    os.environ["END"] = ""


@step
async def the_server_closes_and_the_client_hears_why():
    async def leave(socket):
        await socket.close(4321, "words of the server")

    async with serve(leave, "127.0.0.1", CLEAR), through("reverse") as socket:
        end = await end_of(socket)
        check((end.code, end.reason), (4321, ""), "close")


@step
async def both_sides_say_more_than_the_other_has_read():
    async def talk_and_listen(socket):
        async def say():
            for number in range(MANY):
                await socket.send(f"{number} " + "x" * 60_000)

        talking = asyncio.create_task(say())
        for number in range(MANY):
            check((await socket.recv()).split(" ")[0], str(number), "a message")
            await asyncio.sleep(0.002)
        await talking

    heard_all = asyncio.get_running_loop().create_future()

    async def flood(socket):
        await talk_and_listen(socket)
        heard_all.set_result(None)
        await socket.wait_closed()

    async with serve(flood, "127.0.0.1", CLEAR), through("reverse") as socket:
        await asyncio.wait_for(talk_and_listen(socket), 60)
        await asyncio.wait_for(heard_all, 60)


@step
async def the_client_closes_and_the_server_hears_all_and_why():
    got, over = [], asyncio.get_running_loop().create_future()

    async def listen(socket):
        try:
            while True:
                got.append(await socket.recv())
                # It is slower than the client.
                await asyncio.sleep(0.05)
        except ConnectionClosed as closed:
            over.set_result(closed.rcvd and closed.rcvd.code)

    async with serve(listen, "127.0.0.1", CLEAR, max_queue=1), through("reverse") as socket:
        for number in range(MANY):
            await socket.send(f"{number} " + "x" * 100_000)
        await socket.close(4001, "words of the client")
        check(await asyncio.wait_for(over, 60), 4001, "close")
        check([message.split(" ")[0] for message in got], [str(n) for n in range(MANY)], "messages")


@step
async def a_server_that_breaks_off_is_no_good_end():
    async def break_off(socket):
        await socket.recv()
        socket.transport.abort()

    async with serve(break_off, "127.0.0.1", CLEAR), through("reverse") as socket:
        await socket.send("hello")
        check((await end_of(socket)).code, 1011, "close")


tell()
