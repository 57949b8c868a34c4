"""vLLM's error answers (the nested shape it has used since 0.10.1)."""

import msgspec


class ApiError(Exception):
    """An answer that is not 200. ``kind`` is the ``type`` field, ``param`` the field of the request at fault."""

    def __init__(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param

    def body(self) -> bytes:
        """The JSON body; ``code`` is a number."""
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}
        )


def bad_request(message: str, param: str | None = None) -> ApiError:
    """A value the server understands and cannot use."""
    return ApiError(400, message, "BadRequestError", param)


def malformed(message: str, param: str | None = None) -> ApiError:
    """A body that is not what the endpoint takes; vLLM gives the HTTP phrase as type here."""
    return ApiError(400, message, "Bad Request", param)


def not_found(message: str, param: str | None = None) -> ApiError:
    """A model or adapter that is not there."""
    return ApiError(404, message, "NotFoundError", param)


def invalid_input(message: str) -> ApiError:
    """What the LoRA endpoints answer to bad input."""
    return ApiError(400, message, "InvalidUserInput")
