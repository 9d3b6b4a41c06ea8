"""What is refused before the application sees it: requests that cannot be read as one of HTTP."""

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

from webui.headers import SECURITY
from webui.problems import PROBLEM, Problem

_LONGEST = 64 * 1024  # bytes of a chunk's first line, or of what follows the last chunk


class StrictParser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """A request as it comes in, of a length that is said once (RFC 9112, 6.1), and in a way that is understood.

    Where it is said twice, or as an older HTTP cannot say it, a proxy may believe the other: what follows would be
    another request to it.
    """

    completed: bool
    method = b""  # how it begins: of what cannot be read, nothing else says that it was HEAD

    def received(self, data: bytes) -> int:
        """Take bytes in; how many of them are this request's."""
        if len(self.method) < len(b"HEAD "):
            self.method = (self.method + data[:64]).lstrip()[:5]
        taken = int(super().received(data))
        chunks = self.body_rcv if self.chunked and not self.completed else None
        # waitress goes through all of it again at every piece that comes: that must not grow to a body's length.
        if chunks is not None and max(len(chunks.control_line), len(chunks.trailer)) > _LONGEST:
            self.error, self.completed = BadRequest("a chunk's size, or what follows the last one, is too long"), True
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head. Raises ParsingError."""
        coded = b"\ntransfer-encoding:" in header_plus.lower()  # waitress's own is taken out of what it has read
        try:
            super().parse_header(header_plus)
        except ValueError:  # an address or a number that Python cannot read
            raise ParsingError("its address or Content-Length cannot be read") from None
        if coded and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding both say how long the body is: send one of them")
        if coded and not self.chunked:
            raise ParsingError("Transfer-Encoding is understood in HTTP/1.1 alone, and as chunked: send Content-Length")


class Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """A problem document, as the application's errors are."""

    def execute(self) -> None:
        """Answer, and end the connection: what follows on it cannot be told apart."""
        error = self.request.error
        body = Problem.of(error.code, f"the request was refused: {error.body}").model_dump_json().encode()
        self.status, self.content_length = f"{error.code} {error.reason}", len(body)
        self.response_headers += [("Content-Type", PROBLEM), *SECURITY.items()]
        self.set_close_on_finish()
        self.write(b"" if self.request.method == b"HEAD " else body)
