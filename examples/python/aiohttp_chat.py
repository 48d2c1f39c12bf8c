"""A streamed answer with aiohttp and an SSE reader: python aiohttp_chat.py QUESTION.

Cancelling the task (Ctrl-C) stops the answer upstream, too. Read chunks: long lines raise.
"""

import asyncio
import json
import os
import random
import sys

import aiohttp
from sse import SseReader

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080") + "/v1/chat/completions"
MODEL, TIMES = os.environ.get("SLUICE_MODEL", "demo"), aiohttp.ClientTimeout(None, sock_read=120)
KEY = {"Authorization": f"Bearer {os.environ.get('SLUICE_KEY', 'none')}"}


async def tokens(session, question, tries=5):
    """Ask, after `Retry-After` again, and give the text as it comes; raises if it is cut off."""
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": question}]}
    for attempt in range(tries):
        async with session.post(URL, json=body) as response:
            if response.status == 200:
                async for text in read(response.content.iter_any()):
                    yield text
                return
            if response.status not in {429, 503} or attempt == tries - 1:
                raise RuntimeError(f"{response.status}: {await response.text()}")
            wait = float(response.headers.get("Retry-After") or 2**attempt)
        await asyncio.sleep(wait * random.uniform(1, 1.2))  # not all clients at once


async def read(chunks):
    """Give the text; the finish reason is the end: some upstreams send no `[DONE]`."""
    reader, finished = SseReader(), False
    async for chunk in chunks:
        for data in reader.feed(chunk):
            event = json.loads(data) if data.startswith("{") else {}  # [DONE], somebody's note
            if error := event.get("error"):
                raise RuntimeError(error["message"])
            for choice in event.get("choices", ()):
                finished = finished or bool(choice.get("finish_reason"))
                yield choice.get("delta", {}).get("content") or ""
    if not finished:
        raise RuntimeError("the answer was cut off")


async def main():
    try:
        async with aiohttp.ClientSession(headers=KEY, timeout=TIMES) as session:
            async for text in tokens(session, " ".join(sys.argv[1:])):
                print(text, end="", flush=True)
    except (RuntimeError, ValueError, aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"\nNo whole answer: {error}")


asyncio.run(main())
