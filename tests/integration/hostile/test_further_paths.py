"""Hostile requests under the prefixes of `SLUICE_PATHS`, and how families are known there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.hostile.asking import MARK, OPERATOR, Row, get, passed, post, refused
from tests.integration.hostile.test_requests import answers_all, fronts, wrong_with
from tests.integration.hostile.through_nginx import every_way, rows_as_read
from tests.integration.raw import exchange
from tests.upstream.peer import Peer

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

PATHS = ("/openai/v1", "/openai/deployments", "/v2", "/v1beta1", "/anthropic/v1")
_BAD = b"{"
_VERTEX = b"/v1beta1/projects/p/locations/l/publishers/google/models/g"

ROWS: tuple[Row, ...] = (
    *(
        refused(f"bad JSON for {path.decode()}", post(path, _BAD), closes=False, says=says)
        for path, says in (
            (b"/openai/v1/chat/completions", b'"code": "invalid_request"'),
            (b"/openai/v1/responses", b'"code": "invalid_request"'),
            (b"/openai/deployments/d/chat/completions?api-version=1", b'"code": "invalid_request"'),
            (b"/openai/deployments/d/completions", b'"code": "invalid_request"'),
            (b"/anthropic/v1/messages", b'"type": "error"'),
            (_VERTEX + b":streamGenerateContent", b"INVALID_ARGUMENT"),
            (_VERTEX + b":generateContent", b"INVALID_ARGUMENT"),
            (b"/openai/v1//chat/completions/", b'"code": "invalid_request"'),
        )
    ),
    # No API that is understood: what is in the body is nobody's business.
    *(
        passed(f"anything for {path.decode()}", post(path, _BAD), b"POST " + path, body=_BAD)
        for path in (
            b"/v2/chat",
            b"/openai/v1/threads/t/messages",
            b"/openai/v1/embeddings",
            b"/openai/deployments/d/audio/speech?api-version=1",
            _VERTEX + b":predict",
        )
    ),
    *(
        refused(f"the route {path!r}", get(path), 404, closes=False, says=b"/openai/v1, ")
        for path in (
            *(
                b"/openai",
                b"/openai/v1",
                b"/openai/v1x/models",
                b"/openai/admin",
                b"/OPENAI/v1/models",
            ),
            *(b"/openai/v2/models", b"/v1alpha/models", b"/v2", b"/v2x/chat", b"/anthropic/admin"),
            *(
                b"/openai%2fv1/models",
                b"/openai/%761/models",
                b"/%6fpenai/v1/models",
                b"/v%32/chat",
            ),
        )
    ),
    *(
        refused(f"the path {path!r}", get(path))
        for path in (
            *(
                b"/openai/v1/../admin",
                b"/openai/v1/..;/admin",
                b"/openai/v1/%2e%2e/admin",
                b"/v2/..",
            ),
            *(
                b"/openai/deployments/..%2f..%2fadmin",
                b"//openai/v1/models",
                b"/openai/./v1/models",
            ),
            *(b"/v2/chat;key=" + MARK, b"/openai/deployments/%252e%252e/x"),
        )
    ),
    passed("azure's key", get(b"/openai/v1/models", b"api-key: " + MARK), b"GET /openai/v1/models"),
    passed(
        "azure's key in the query",
        get(b"/openai/deployments/d/x?api-version=1&subscription-key=" + MARK),
        b"GET /openai/deployments/d/x?api-version=1",
    ),
    passed("cohere's key", get(b"/v2/models", b"Authorization: bearer " + MARK), b"GET /v2/models"),
)


@pytest.mark.timeout(120)
@every_way
async def test_further_prefixes_are_no_holes(nginx: NginxProgram | None) -> None:
    """What is listed passes as it is, known by its end; all else stays shut, and is told."""
    async with Peer(answers_all) as peer:
        with fronts(nginx, peer, keys=False, paths=",".join(PATHS)) as front:
            complaints = {}
            for row in rows_as_read(ROWS, nginx):
                complaints[row.name] = await wrong_with(front, peer, row, row.sent, row.status)
            lost = await exchange(front.url, get(b"/chat/completions"))
        secrets = [line for line in front.process.lines if MARK.decode() in line]
        secrets += [line for line in front.process.lines if OPERATOR.decode() in line]
    wrong = {name: complaint for name, complaint in complaints.items() if complaint}
    assert not wrong, "\n".join(f"{name}: {complaint}" for name, complaint in wrong.items())
    assert not secrets
    message = json.loads(lost.body)["error"]["message"]
    for word in ("/v1, /v1beta", *PATHS, "base URL must end in /v1"):
        assert word in message
