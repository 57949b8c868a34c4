"""Envoy's own error answers, as JSON in the shape of the OpenAI API.

The rules are keyed by Envoy's response code details, so that only answers of Envoy's own making are touched: a picker's
immediate answer passes through the same place with details of the picker's choosing, or none.
"""

from __future__ import annotations

from signalbox.gateway.envoy.model import Json, Options, extension

_CEL = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"

_OF_THE_CLIENT = ("not_found", "request_too_large", "request_headers_too_large", "bad_request")


def local_replies(options: Options) -> Json:
    """The ``local_reply_config`` of a listener."""
    asked = "%REQ(:METHOD)% %REQ(:PATH)% on host %REQ(:AUTHORITY)%"
    model = " for model %REQ(X-GATEWAY-MODEL-NAME)%"
    return {
        "mappers": [
            _mapper("== 'route_not_found'", "not_found", f"No HTTPRoute matches {asked}"),
            _mapper(
                "== 'request_payload_too_large'",
                "request_too_large",
                f"The request body is longer than the {options.body_limit} bytes this gateway takes",
            ),
            _mapper("== 'direct_response' && response.code == 500", "no_backend", "%LOCAL_REPLY_BODY%"),
            _mapper(
                "== 'cluster_not_found' && response.code == 404", "not_found", f"No HTTPRoute matches {asked}{model}"
            ),
            _mapper("== 'cluster_not_found'", "no_backend", "A backend of the HTTPRoute that matches does not exist"),
            _mapper("== 'no_healthy_upstream'", "no_endpoint", "The backend has no ready endpoint"),
            _mapper(
                "== 'fault_filter_abort'",
                "endpoint_picker_unavailable",
                "The pool's endpoint picker gave no endpoint, and the pool's failure mode is FailClose",
            ),
            _mapper(
                ".startsWith('ext_proc_error') && response.code == 503",
                "body_router_unavailable",
                "Body-based routing did not answer (%RESPONSE_CODE_DETAILS%)",
            ),
            _mapper(".startsWith('ext_proc_error')", "endpoint_picker_error", "%RESPONSE_CODE_DETAILS%"),
            _mapper(".matches('timeout')", "timeout", "%LOCAL_REPLY_BODY% (%RESPONSE_CODE_DETAILS%)"),
            _mapper(".startsWith('upstream_reset')", "upstream_unreachable", "%LOCAL_REPLY_BODY%"),
            # Before a route is looked for: what cannot be read as a request, or is none that is taken.
            _mapper(
                ".startsWith('http') && response.code == 431",
                "request_headers_too_large",
                "The request's path and headers are longer than this gateway takes, 60 KiB and 100 headers",
            ),
            _mapper(".matches('^http[123][.]')", "bad_request", "This is no valid request (%RESPONSE_CODE_DETAILS%)"),
            _mapper("== 'low_version'", "bad_request", "HTTP/1.0 is not served: use HTTP/1.1 or HTTP/2"),
            _mapper("== 'missing_host_header'", "bad_request", "The request has no Host header"),
            _mapper("== 'path_normalization_failed'", "bad_request", "The request's path is not valid"),
        ]
    }


def _mapper(details: str, code: str, message: str) -> Json:
    expression = f"response.code_details {details}" if details.startswith("=") else f"response.code_details{details}"
    kind = "invalid_request_error" if code in _OF_THE_CLIENT else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return {
        "filter": {"extension_filter": extension("cel", _CEL, expression=expression)},
        "body_format_override": {"json_format": {"error": error}},
    }
