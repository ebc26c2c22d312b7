"""The openai library: through its base URL, and to the provider itself through the proxy."""

import json

import openai

from story import REDACTED, check, step, tell

QUESTION = [{"role": "user", "content": json.dumps({"name": "Ada", "ssn": "536-22-8726"})}]
PROVIDER = "https://api.openai.com/v1"


def clients(kind):
    """One for each face."""
    yield kind(max_retries=0)
    yield kind(base_url=PROVIDER, api_key="sk-of-the-client", max_retries=0)


def called(arguments):
    check(json.loads(arguments), {"id": 7, "ssn": REDACTED})


@step
def chat_completions():
    for client in clients(openai.OpenAI):
        if client.base_url.host == "api.openai.com":
            # Nobody masks what leaves through the proxy; a rule refuses it.
            try:
                client.chat.completions.create(model="m", messages=QUESTION)
            except openai.PermissionDeniedError as error:
                assert "US_SSN" in error.response.json()["detail"], error
            else:
                raise AssertionError("it left")
            continue
        answer = client.chat.completions.create(model="m", messages=QUESTION)
        called(answer.choices[0].message.tool_calls[0].function.arguments)


@step
def chat_completions_that_stream():
    for client in clients(openai.OpenAI):
        question = [{"role": "user", "content": "hello"}]
        text, arguments = "", ""
        for chunk in client.chat.completions.create(model="m", messages=question, stream=True):
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or []:
                arguments += call.function.arguments
        check(text, "Grüße, Welt")
        called(arguments)


@step
def responses():
    for client in clients(openai.OpenAI):
        answer = client.responses.create(model="m", input="hello")
        called(answer.output[0].arguments)


@step
async def responses_asynchronously():
    for client in clients(openai.AsyncOpenAI):
        answer = await client.responses.create(model="m", input="hello")
        called(answer.output[0].arguments)


@step
async def responses_that_stream():
    for client in clients(openai.AsyncOpenAI):
        text, last = "", None
        async for event in await client.responses.create(model="m", input="hello", stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            last = event
        check((text, last.type), ("Grüße, Welt", "response.completed"))
        called(last.response.output[0].arguments)


@step
def models():
    for client in clients(openai.OpenAI):
        check([model.id for model in client.models.list()], ["m"])


@step
def what_keeps_things_at_the_provider_is_refused():
    try:
        openai.OpenAI(max_retries=0).files.list()
    except openai.NotFoundError as error:
        check(error.response.json()["reason"], "unknown_path")
    else:
        raise AssertionError("files can be listed")


@step
def a_wrong_key_is_an_authentication_error():
    try:
        openai.OpenAI(api_key="sk-of-the-client", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        check(error.status_code, 401)
    else:
        raise AssertionError("any key opens the gateway")


if __name__ == "__main__":
    tell()
