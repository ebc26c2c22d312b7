"""An MCP server on another host, over streamable HTTP, by its tools alone."""

import asyncio

from agents.mcp import MCPServerStreamableHttp


async def main():
    params = {"url": "https://mcp.deepwiki.com/mcp", "timeout": 15}
    async with MCPServerStreamableHttp(params=params, client_session_timeout_seconds=15) as server:
        for one in await server.list_tools():
            print(one.name, one.input_schema if hasattr(one, "input_schema") else one.inputSchema)
        for number in range(20):
            given = {"repository": "openai/codex", "question": f"{number} " + "?" * number * 500}
            result = await server.call_tool("ask_question", given)
            print(len(result.content[0].text), result.content[0].text[:60])


asyncio.run(main())
