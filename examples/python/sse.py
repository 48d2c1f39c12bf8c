"""A reader of server-sent events (WHATWG HTML, 9.2.6): the same events however bytes are split."""

import codecs
import re
from collections.abc import Iterator


class SseReader:
    """Takes bytes as they come and gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # keeps half a character
        self._text = ""
        self._data: list[str] = []
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Half an event stays here for the next bytes; at the end of the stream it is none."""
        if not (new := self._decoder.decode(chunk)):
            return
        if self._after_cr:
            new = new.removeprefix("\n")  # one line end that came in two reads
        self._after_cr = new.endswith("\r")
        *lines, self._text = re.split("\r\n|\r|\n", self._text + new)
        for line in lines:
            name, _, value = line.removeprefix("\ufeff").partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif not line and self._data:
                yield "\n".join(self._data)  # several data lines are one text
                self._data = []
