"""httpx transports that survive a lost connection, for the packages `openai` and `anthropic`.

    OpenAI(http_client=httpx.Client(transport=ResumingTransport()))
    AsyncAnthropic(http_client=httpx.AsyncClient(transport=AsyncResumingTransport()))

`httpx` is what the package uses: `httpx2` today. Closing a stream before its end stops the answer.
"""

import asyncio
import time
from contextlib import suppress

from resumption import Resumption, httpx, prepared, resumable


class ResumingTransport(httpx.HTTPTransport):
    def handle_request(self, request):
        response = super().handle_request(prepared(request))
        if resumable(request, response):
            response.stream = _Stream(super().handle_request, request, response)
        return response


class AsyncResumingTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request):
        response = await super().handle_async_request(prepared(request))
        if resumable(request, response):
            response.stream = _AsyncStream(super().handle_async_request, request, response)
        return response


class _Stream(Resumption, httpx.SyncByteStream):
    def __iter__(self):
        while not self.ended:
            try:
                for chunk in self.stream:
                    yield self.whole(chunk)
                yield self.over()
            except httpx.TransportError as lost:
                self.reconnect(lost)

    def reconnect(self, lost):
        for request, wait in self.requests(lost):
            with suppress(httpx.TransportError):
                if self.settled(answer := self.send(request)):
                    return
                answer.close()
            time.sleep(wait)

    def close(self):
        self.stream.close()
        if not self.ended:
            with suppress(httpx.TransportError):
                self.send(self.request("DELETE")).close()


class _AsyncStream(Resumption, httpx.AsyncByteStream):
    async def __aiter__(self):
        while not self.ended:
            try:
                async for chunk in self.stream:
                    yield self.whole(chunk)
                yield self.over()
            except httpx.TransportError as lost:
                await self.reconnect(lost)

    async def reconnect(self, lost):
        for request, wait in self.requests(lost):
            with suppress(httpx.TransportError):
                if self.settled(answer := await self.send(request)):
                    return
                await answer.aclose()
            await asyncio.sleep(wait)

    async def aclose(self):
        await self.stream.aclose()
        if not self.ended:
            with suppress(httpx.TransportError):
                await (await self.send(self.request("DELETE"))).aclose()
