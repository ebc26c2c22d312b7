"""A mail server (aiosmtpd) that takes nothing before TLS and an account.

smtp.py starttls|tls PORT FOLDER

FOLDER has cert.pem and key.pem. What is taken is a line of JSON in FOLDER/taken.
"""

import asyncio, email, email.policy, json, pathlib, ssl, sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(folder / "cert.pem", folder / "key.pem")


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with open(folder / "taken", "a") as out:
            out.write(json.dumps({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "user": session.auth_data.login.decode(),
                "tls": session.ssl is not None or mode == "tls",
                "headers": {name.lower(): str(value) for name, value in message.items()},
                "body": message.get_content(),
            }) + "\n")
        return "250 OK"


def right(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"narrows", b"a long password")
    return AuthResult(success=good, handled=good, auth_data=data)


def connection():
    inside = mode == "tls"
    return SMTP(
        Handler(), hostname="localhost", authenticator=right, auth_required=True,
        auth_require_tls=not inside, require_starttls=not inside,
        tls_context=None if inside else context,
    )


async def serve():
    server = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", port, ssl=context if mode == "tls" else None)
    (folder / "port.new").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.new").rename(folder / "port")
    await server.serve_forever()


asyncio.run(serve())
