"""A streamed answer with the `anthropic` package: python anthropic_messages.py QUESTION.

The package waits for `Retry-After`, splits events and raises on `event: error`. A stream that just
ends is not an error to it: only a stop reason says that the answer is whole.
"""

import os
import sys

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ.get("SLUICE_URL", "http://127.0.0.1:8080"),  # without /v1
    api_key=os.environ.get("SLUICE_KEY", "none"),
    max_retries=5,
)


def tokens(question):
    """Give the text as it comes; leaving the loop closes the connection and stops the answer."""
    finished = False
    with client.messages.create(
        model=os.environ.get("SLUICE_MODEL", "demo"),
        max_tokens=1024,
        messages=[{"role": "user", "content": question}],
        stream=True,
    ) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text
            elif event.type == "message_delta":
                finished = bool(event.delta.stop_reason)
    if not finished:
        raise anthropic.AnthropicError("the answer was cut off")


if __name__ == "__main__":
    try:
        for text in tokens(" ".join(sys.argv[1:])):
            print(text, end="", flush=True)
    except Exception as error:  # the package lets errors of its HTTP library through
        sys.exit(f"\nNo whole answer: {error}")
