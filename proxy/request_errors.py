"""The errors of requests that are rejected before anything is done for them."""

from __future__ import annotations

from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy


class BodyTooSlow(SluiceError):
    """The body did not arrive within `SLUICE_BODY_TIMEOUT_SECONDS` and its extensions."""

    fault = Fault("request_timeout", 408, EndedBy.REJECTED, "Send the body without pause.")


class UriTooLong(SluiceError):
    """The request target is longer than the server accepts."""

    fault = Fault("uri_too_long", 414, EndedBy.REJECTED, "Send the data in a body instead.")


class HeadersTooLarge(SluiceError):
    """The head has more or longer fields than the server accepts."""

    fault = Fault("headers_too_large", 431, EndedBy.REJECTED, "Send fewer or shorter headers.")


class HttpVersionNotSupported(SluiceError):
    """The request line names another version than 1.0 and 1.1."""

    fault = Fault("http_version_not_supported", 505, EndedBy.REJECTED, "Use HTTP/1.1 or HTTP/2.")


class CrossSite(SluiceError):
    """A browser sent it for a page whose origin is not in `SLUICE_CORS_ORIGINS`."""

    fault = Fault(
        "cross_site_request",
        403,
        EndedBy.REJECTED,
        "Have the operator add the page's origin to SLUICE_CORS_ORIGINS.",
    )


class MethodNotAllowed(SluiceError):
    """The route does not support the method."""

    fault = Fault(
        "method_not_allowed", 405, EndedBy.REJECTED, "Use a method from the Allow header."
    )
