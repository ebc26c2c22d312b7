"""Realtime sessions, as the SDK opens them: to the provider itself, whatever the base URL is."""

import asyncio

from agents.decorators import tool
from agents.realtime import RealtimeAgent, RealtimeRunner

CONFIG = {"model_name": "gpt-realtime-2.1"}


async def talk(runner, modality, *turns, answers=1):
    """Says each turn, and prints what the session tells until so many answers have ended."""
    settings = {**CONFIG, "output_modalities": [modality]}
    async with await runner.run(model_config={"initial_model_settings": settings}) as session:
        for turn in turns:
            if isinstance(turn, bytes):
                await session.send_audio(turn, commit=True)
                await session.send_message("Respond to the committed user audio.")
            else:
                await session.send_message(turn)
            left = answers
            async for event in session:
                match event.type:
                    case "agent_end":
                        print("ended", event.agent.name, event.info.context.usage.total_tokens)
                        left -= 1
                        if left == 0:
                            break
                    case "tool_start" | "tool_end":
                        print(event.type, event.tool.name, getattr(event, "output", None))
                    case "handoff":
                        print("handoff", event.from_agent.name, event.to_agent.name)
                    case "audio":
                        print("audio", len(event.audio.data))
                    case "error":
                        raise AssertionError(event.error)
        for item in getattr(session, "_history", []):
            for content in getattr(item, "content", []):
                words = getattr(content, "text", None) or getattr(content, "transcript", None)
                print(item.role, words)


async def text_in_two_turns():
    agent = RealtimeAgent(name="Text", instructions="Reply with exactly REALTIME_READY.")
    await talk(RealtimeRunner(agent), "text", "Confirm the connection.", "And again: grüß Gott.")


async def spoken():
    agent = RealtimeAgent(name="Spoken", instructions="Reply with exactly REALTIME_AUDIO_READY.")
    # A second of sound, and a message past what fits one frame's short length.
    await talk(RealtimeRunner(agent), "audio", bytes(48_000), bytes(200_000))


async def with_a_tool():
    @tool
    def lookup_city(city: str) -> str:
        """Returns the weather of a city."""
        return f"sunny in {city}"

    agent = RealtimeAgent(
        name="Tool", instructions="Call lookup_city with city='Tokyo'.", tools=[lookup_city]
    )
    # The call of the tool, and what is said with its answer.
    await talk(RealtimeRunner(agent), "text", "What is the weather?", answers=2)


async def with_a_handoff():
    specialist = RealtimeAgent(name="Specialist", instructions="Reply with exactly HANDOFF_READY.")
    coordinator = RealtimeAgent(name="Coordinator", instructions="Transfer.", handoffs=[specialist])
    await talk(RealtimeRunner(coordinator), "text", "Transfer me to the specialist.", answers=2)


async def main():
    for story in (text_in_two_turns, spoken, with_a_tool, with_a_handoff):
        print("==", story.__name__)
        await asyncio.wait_for(story(), 20)


asyncio.run(main())
