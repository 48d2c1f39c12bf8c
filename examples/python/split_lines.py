"""A reader by hand that splits lines, with nothing but the standard library: QUESTION.

Enough where each event is one `data:` line, as every chat API sends it today. Two things make it
safe: lines are split from bytes (no character is torn), and a stream without an end is a cut.
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

URL = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080") + "/v1/chat/completions"


def tokens(question):
    """Give the text as it comes; raises if the stream tells of an error or is cut off."""
    body = {"model": os.environ.get("SLUICE_MODEL", "demo"), "stream": True}
    body["messages"] = [{"role": "user", "content": question}]
    headers = {"Content-Type": "application/json"}
    headers["Authorization"] = f"Bearer {os.environ.get('SLUICE_KEY', 'none')}"
    request = urllib.request.Request(URL, json.dumps(body).encode(), headers)
    finished = False
    with urllib.request.urlopen(request, timeout=120) as response:
        for line in response:
            data = line.removeprefix(b"data:").strip()
            if not line.startswith(b"data:") or not data.startswith(b"{"):
                finished = finished or data == b"[DONE]"
                continue  # a comment, an empty line, the end mark, or no JSON
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
    except (RuntimeError, OSError, http.client.HTTPException, ValueError) as error:
        sys.exit(f"\nNo whole answer: {error}")
