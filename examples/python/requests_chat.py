"""A streamed answer with requests and an SSE reader: python requests_chat.py QUESTION.

Ctrl-C closes the connection, and the answer stops upstream, too. An answer that ends without a
finish reason or `[DONE]` is cut off, whatever the connection said: do not show it as whole.
"""

import json
import os
import random
import sys
import time

import requests
from sse import SseReader

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080") + "/v1/chat/completions"
MODEL, KEY = os.environ.get("SLUICE_MODEL", "demo"), os.environ.get("SLUICE_KEY", "none")


def ask(question, tries=5):
    """Ask; while Sluice is busy, again after `Retry-After` or after ever longer waits."""
    question = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": question}]}
    key = {"Authorization": f"Bearer {KEY}"}
    for attempt in range(tries):
        response = requests.post(URL, json=question, headers=key, stream=True, timeout=(5, 120))
        if response.status_code not in {429, 503} or attempt == tries - 1:
            break
        wait = float(response.headers.get("Retry-After") or 2**attempt)
        time.sleep(wait * random.uniform(1, 1.2))  # not every client at the same moment
    if response.status_code != 200:
        raise RuntimeError(f"{response.status_code}: {response.text}")
    return response


def tokens(response):
    """Give the text as it comes; raises if the stream tells of an error or is cut off."""
    reader, finished = SseReader(), False
    for chunk in response.iter_content(None):
        for data in reader.feed(chunk):
            if data == "[DONE]":
                return
            event = json.loads(data) if data.startswith("{") else {}  # somebody's note
            if "error" in event:
                raise RuntimeError(event["error"]["message"])
            for choice in event.get("choices", ()):
                finished = finished or bool(choice.get("finish_reason"))
                yield choice.get("delta", {}).get("content") or ""
    if not finished:  # some upstreams send no [DONE]; then the finish reason is the end
        raise RuntimeError("the answer was cut off")


if __name__ == "__main__":
    try:
        for text in tokens(ask(" ".join(sys.argv[1:]))):
            print(text, end="", flush=True)
    except (RuntimeError, ValueError, requests.RequestException) as error:
        sys.exit(f"\nNo whole answer: {error}")
