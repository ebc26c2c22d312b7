"""A clerk made with the OpenAI Agents SDK: it reads a document and does what it says.

Nothing in it knows of a gateway. The model, the trace export, the MCP server, PostgreSQL and
whatever the shell starts are reached as the environment says; `narrows env` prints it.
"""

import asyncio
import json
import subprocess
import sys

import psycopg
from agents import Agent, Runner, flush_traces, function_tool
from agents.mcp import MCPServerStreamableHttp

SHELL_TIMEOUT_S = 60


@function_tool
def shell(command: str) -> str:
    """Runs a shell command and gives what it prints."""
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=SHELL_TIMEOUT_S, check=False
    )
    return json.dumps({"exit": done.returncode, "output": done.stdout + done.stderr})


@function_tool
def query(sql: str) -> str:
    """Runs a statement on the shop's database and gives its rows as JSON."""
    try:
        with psycopg.connect() as db:
            return json.dumps(db.execute(sql).fetchall(), default=str)
    except psycopg.Error as error:
        return json.dumps({"error": str(error)})


async def work(task: str) -> str:
    crm = MCPServerStreamableHttp(name="crm", params={"url": "https://crm.example/mcp"})
    async with crm:
        clerk = Agent(
            name="Clerk",
            instructions="You work in the back office of a shop. Use your tools.",
            model="gpt-5",
            tools=[shell, query],
            mcp_servers=[crm],
        )
        return (await Runner.run(clerk, task, max_turns=40)).final_output


def main() -> None:
    print(asyncio.run(work(sys.argv[1])))
    flush_traces()


if __name__ == "__main__":
    main()
