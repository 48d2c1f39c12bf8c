"""What a reader that survives a lost connection does next, without I/O; see resuming_transport.py.

It counts the whole events that were handed on. When the connection breaks it asks for the rest, so
that each event is seen once, and half an event never.
"""

import re
import time

try:
    import httpx2 as httpx  # what the packages of OpenAI and Anthropic use today
except ImportError:
    import httpx

BLOCK = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL)
END = re.compile(rb"^(data: ?\[DONE\]|event: ?(message_stop|response\.completed))", re.MULTILINE)
NOT_AGAIN = {"accept", "content-type", "content-length", "sluice-resumable"}


def prepared(request):
    """Ask for an answer that can be resumed, in bytes whose events can be counted."""
    if request.method == "POST":
        request.headers.update({"Sluice-Resumable": "true", "Accept-Encoding": "identity"})
    return request


def resumable(request, response):
    """Say whether the answer has a log to go on from."""
    return request.method == "POST" and "Sluice-Stream-Id" in response.headers


class Resumption:
    """One answer, and how much of it was handed on."""

    def __init__(self, send, request, response):
        self.send, self.stream = send, response.stream
        self.held, self.seen, self.ended, self.lost = b"", 0, False, False
        path = f"/v1/streams/{response.headers['Sluice-Stream-Id']}"
        self.url = re.sub(r"/v1(beta)?/.*", path, str(request.url))
        headers = [pair for pair in request.headers.items() if pair[0] not in NOT_AGAIN]
        self.options = {"headers": headers, "extensions": request.extensions}  # its time limits

    def request(self, method, after=""):
        """Make the request for the rest, or the one that stops the answer."""
        return httpx.Request(method, self.url + after, **self.options)

    def whole(self, chunk):
        """Give the whole events and count them; comments and progress are none."""
        self.held, end = self.held + chunk, 0
        for block in BLOCK.finditer(self.held):
            end = block.end()
            lines = [line for line in block[0].splitlines() if line and line[0] != ord(":")]
            self.seen += bool(lines) and b"event: progress" not in lines
        whole, self.held = self.held[:end], self.held[end:]
        self.ended = self.ended or bool(END.search(whole))
        return whole

    def over(self):
        self.ended = True
        return self.held

    def requests(self, lost):
        """Give (request, seconds to wait after it) for a minute; then the loss is the reader's."""
        self.held, until, wait = b"", time.monotonic() + 60, 0.25
        while not (self.ended or self.lost) and time.monotonic() < until:
            yield self.request("GET", f"?after={self.seen}"), wait
            wait = min(wait * 2, 5)
        if not self.ended:
            raise lost

    def settled(self, answer):
        """Take the answer to such a request; say whether there is nothing more to ask for."""
        complete = answer.headers.get("Sluice-Ended-By") == "complete"
        self.ended = complete and answer.status_code == 204
        if answer.status_code == 200 or self.ended:
            self.stream = answer.stream
            return True
        self.lost = answer.status_code not in {429, 502, 503, 504}
        return False
