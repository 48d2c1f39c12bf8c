"""Recognizes header fields and query parameters that may carry a client's key.

Servers normalize names differently: nginx and CGI (RFC 3875, 4.1.18) treat hyphen and underscore
alike, PHP a dot as well, ASP.NET ignores case. So only a name's letters and digits are compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from multidict import CIMultiDict

if TYPE_CHECKING:
    from multidict import MultiMapping

_WITHIN = re.compile(
    "apikey|apitoken|authoriz|authtoken|authkey|accesstoken|accesskey|bearertoken|clientsecret"
    "|apisecret|credential|functionskey|hftoken|idtoken|jwtassertion|oauthtoken|password"
    "|privatetoken|refreshtoken|secretkey|securitytoken|sessiontoken|subscriptionkey"
    "|subscriptiontoken|usertoken|vaulttoken|virtualkey"
)
"""OpenAI, Anthropic, Google, Azure, AWS, Cohere, ElevenLabs, RapidAPI, Cloudflare, OpenStack,
Hugging Face, Portkey: these names with any prefix."""
_WHOLE = frozenset(
    {
        *("auth", "bearer", "jwt", "key", "secret", "token"),
        *("xauth", "xbearer", "xjwt", "xkey", "xsecret", "xtoken"),
        *("cookie", "cookie2", "setcookie", "heliconeauth", "cfaccessclientid"),
    }
)
"""Cookies are credentials for servers with sessions."""
_QUERY = frozenset({"code", "sig", "signature", "xamzsignature"})
"""Azure's function keys and shared access signatures, AWS's signed URLs."""
_NOISE = re.compile("[^a-z0-9]+")
_SEPARATORS = re.compile("([&;])")
"""Some servers still split a query at semicolons (HTML 4.01, B.2.2)."""
_IN_PATH = re.compile("[;?&]([^;?&=/]*)=")
_DECODED_TIMES = 3


def is_credential(name: str) -> bool:
    """Whether a field of that name may carry a key for any known upstream."""
    bare = _NOISE.sub("", name.lower())
    return bare in _WHOLE or _WITHIN.search(bare) is not None


def without_credentials(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return the fields without those that may carry a client's key."""
    return CIMultiDict(pair for pair in headers.items() if not is_credential(pair[0]))


def without_key_parameter(path: str) -> str:
    """Return the raw path and query without parameters that may carry a client's key."""
    bare, mark, query = path.partition("?")
    if not mark:
        return path
    pairs = _SEPARATORS.split(query)
    parts = zip(["", *pairs[1::2]], pairs[::2], strict=True)
    kept = "".join(before + pair for before, pair in parts if not _is_key_parameter(pair))
    if kept == query:
        return path
    # The first separator belonged to a removed parameter.
    kept = kept[1:] if _is_key_parameter(pairs[0]) else kept
    return f"{bare}?{kept}" if kept else bare


def key_in_path(path: str) -> bool:
    """Whether a raw path contains a parameter that may be a key: `/v1/x;key=…`, `/v1/x%3Fkey=…`.

    Some servers parse parameters of a segment (RFC 3986, 3.3), or decode a path before looking for
    its query. No known API takes a key there.
    """
    return any(_is_key_parameter(name) for name in _IN_PATH.findall(_decoded(path)))


def _is_key_parameter(pair: str) -> bool:
    # Some servers accept array names (`key[]`, `key[0]`), and servers differ in how often they
    # decode.
    name = _decoded(pair.partition("=")[0]).partition("=")[0].partition("[")[0]
    return is_credential(name) or _NOISE.sub("", name.lower()) in _QUERY


def _decoded(text: str) -> str:
    for _ in range(_DECODED_TIMES):
        if "%" not in text:
            break
        text = unquote_plus(text)
    return text
