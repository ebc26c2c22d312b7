"""A token through libpq's own OAUTHBEARER (libpq 18), given by the program instead of a flow."""

import ctypes
import os
import sys

import psycopg

if psycopg.pq.version() < 180000:
    sys.exit("libpq 18 is needed")

# The very library that psycopg loaded.
with open("/proc/self/maps", encoding="utf-8") as maps:
    path = next(line.split()[-1] for line in maps if "libpq" in line)
libpq = ctypes.CDLL(path)

REQUEST_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN
TOKEN = os.environ["PGPASSWORD"]
NAMED = "https://id.example/.well-known/openid-configuration"
KNOWN = sys.argv[1] if len(sys.argv) > 1 else NAMED


class Request(ctypes.Structure):  # PGoauthBearerRequest
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


asked = []
offered = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
def give_token(kind, _connection, request):
    if kind != REQUEST_TOKEN:
        return 0
    asked.append(kind)
    found = request.contents
    offered.append((found.openid_configuration, found.scope))
    request.contents.token = TOKEN.encode()
    return 1


libpq.PQsetAuthDataHook(give_token)

with psycopg.connect(
    password="",
    options="-c narrows.auth=oauth",
    require_auth="oauth",
    oauth_issuer="https://id.example/.well-known/openid-configuration",
    oauth_client_id="agent",
    autocommit=True,
) as db:
    assert asked, "libpq asked for a token"
    assert db.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("[REDACTED]",)

# Told nothing but an issuer, it asks the gateway first, and believes what that says of the issuer.
if len(sys.argv) > 1:
    offered.clear()
    with psycopg.connect(
        password="",
        options="-c narrows.auth=oauth",
        require_auth="oauth",
        oauth_issuer=sys.argv[1],
        oauth_client_id="agent",
        autocommit=True,
    ) as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
    configuration = sys.argv[1] + "/.well-known/openid-configuration"
    assert offered == [(configuration.encode(), b"openid narrows")], offered
    try:
        psycopg.connect(
            password="",
            options="-c narrows.auth=oauth",
            oauth_issuer="https://other.example",
            oauth_client_id="agent",
        )
        sys.exit("an issuer was taken for another")
    except psycopg.OperationalError as error:
        assert "other.example" in str(error), error

TOKEN = "nrw_not_a_token"
try:
    psycopg.connect(
        password="",
        options="-c narrows.auth=oauth",
        oauth_issuer=KNOWN,
        oauth_client_id="agent",
    )
    sys.exit("a wrong token was taken")
except psycopg.OperationalError as error:
    assert "the token is not valid" in str(error), error
print("ok")
