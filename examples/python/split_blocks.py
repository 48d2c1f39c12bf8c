"""A reader by hand that splits on empty lines, over httpx: python split_blocks.py QUESTION.

Blocks are split from bytes, so no character is torn, and what stands behind the last empty line
waits for more. A stream that ends without finish reason and `[DONE]` was cut off.
"""

import json
import os
import re
import sys

import httpx

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080") + "/v1/chat/completions"
EMPTY_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")


def tokens(question):
    """Give the text as it comes; raises if the stream tells of an error or is cut off."""
    body = {"model": os.environ.get("SLUICE_MODEL", "demo"), "stream": True}
    body["messages"] = [{"role": "user", "content": question}]
    key = {"Authorization": f"Bearer {os.environ.get('SLUICE_KEY', 'none')}"}
    rest, finished = b"", False
    with httpx.stream("POST", URL, json=body, headers=key, timeout=120) as response:
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {response.read().decode()}")
        for chunk in response.iter_bytes():
            *blocks, rest = EMPTY_LINE.split(rest + chunk)
            for block in blocks:
                lines = [line[5:] for line in block.splitlines() if line.startswith(b"data:")]
                data = b"\n".join(lines).strip()
                if not data.startswith(b"{"):
                    finished = finished or data == b"[DONE]"
                    continue  # a comment, the end mark, or no JSON
                event = json.loads(data)
                if "error" in event:
                    raise RuntimeError(event["error"]["message"])
                for choice in event.get("choices", ()):
                    finished = finished or bool(choice.get("finish_reason"))
                    yield choice.get("delta", {}).get("content") or ""
    if not finished:
        raise RuntimeError("the answer was cut off")


if __name__ == "__main__":
    try:
        for text in tokens(" ".join(sys.argv[1:])):
            print(text, end="", flush=True)
    except (RuntimeError, httpx.HTTPError, ValueError) as error:
        sys.exit(f"\nNo whole answer: {error}")
