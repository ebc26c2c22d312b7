"""The model over every transport that the SDK has: Responses, its WebSocket, chat completions."""

import asyncio

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    Runner,
    responses_websocket_session,
)
from agents.decorators import tool
from openai import AsyncOpenAI
from pydantic import BaseModel


class Report(BaseModel):
    city: str
    degrees: int


@tool
def get_weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"sunny, 20 °C in {city}"


def agents(model):
    words = "Say what the weather is."
    yield Agent(name="Plain", instructions=words, model=model)
    yield Agent(name="Tool", instructions=words, model=model, tools=[get_weather])
    yield Agent(
        name="Form", instructions=words, model=model, tools=[get_weather], output_type=Report
    )
    inner = Agent(name="Inner", instructions=words, model=model, tools=[get_weather])
    yield Agent(name="Outer", instructions=words, model=model, handoffs=[inner])


async def tell(result):
    deltas = 0
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            deltas += event.data.type.endswith(".delta")
        else:
            print(event.type, getattr(event, "name", ""))
    print(deltas, "deltas:", result.final_output)


async def over(model):
    for agent in agents(model):
        result = await Runner.run(agent, "Wie ist das Wetter in Zürich?")
        print(
            result.last_agent.name, result.context_wrapper.usage.total_tokens, result.final_output
        )
        await tell(Runner.run_streamed(agent, "Wie ist das Wetter in Zürich?"))


async def over_a_socket():
    async with responses_websocket_session() as session:
        for agent in agents("gpt-5.6"):
            result = await session.run(agent, "Wie ist das Wetter in Zürich?")
            print(result.last_agent.name, result.final_output)
            await tell(session.run_streamed(agent, "x" * 100_000))


async def several_at_once():
    agent = next(agents("gpt-5.6"))
    runs = [Runner.run(agent, f"Question {number}") for number in range(12)]
    for result in await asyncio.gather(*runs):
        print(result.final_output)


async def main():
    print("== responses")
    await over("gpt-5.6")
    print("== chat completions")
    await over(OpenAIChatCompletionsModel("gpt-5.6", AsyncOpenAI()))
    print("== responses over a WebSocket")
    await over_a_socket()
    print("== several at once")
    await several_at_once()
    print("== models", [model.id async for model in AsyncOpenAI().models.list()])


asyncio.run(main())
