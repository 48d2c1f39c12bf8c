"""A streamed answer with the `openai` package: python openai_chat.py QUESTION.

The package waits for `Retry-After`, splits events and raises on the error event of a stream. What
it does not do is notice a stream that just ends: without a finish reason it was cut off.
"""

import os
import sys

import openai

client = openai.OpenAI(
    base_url=os.environ.get("SLUICE_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ.get("SLUICE_KEY", "none"),
    max_retries=5,
)


def tokens(question):
    """Give the text as it comes; leaving the loop closes the connection and stops the answer."""
    finished = False
    with client.chat.completions.create(
        model=os.environ.get("SLUICE_MODEL", "demo"),
        messages=[{"role": "user", "content": question}],
        stream=True,
    ) as stream:
        for chunk in stream:
            for choice in chunk.choices:  # the chunk with the usage has none
                finished = finished or bool(choice.finish_reason)
                yield choice.delta.content or ""
    if not finished:
        raise openai.OpenAIError("the answer was cut off")


if __name__ == "__main__":
    try:
        for text in tokens(" ".join(sys.argv[1:])):
            print(text, end="", flush=True)
    except Exception as error:  # the package lets errors of its HTTP library through
        sys.exit(f"\nNo whole answer: {error}")
