"""What is refused before the application sees it: requests that cannot be read as one of HTTP."""

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

from webui.problems import PROBLEM, Problem


class StrictParser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """A request as it comes in, of a length that is said once (RFC 9112, 6.1).

    Where it is said twice, a proxy may believe the other: what follows would be another request to it.
    """

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head. Raises ParsingError."""
        coded = b"\ntransfer-encoding:" in header_plus.lower()  # waitress's own is taken out of what it has read
        super().parse_header(header_plus)
        if coded and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding both say how long the body is: send one of them")


class Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """A problem document, as the application's errors are."""

    def execute(self) -> None:
        """Answer, and end the connection: what follows on it cannot be told apart."""
        error = self.request.error
        body = Problem.of(error.code, f"the request was refused: {error.body}").model_dump_json().encode()
        self.status, self.content_length = f"{error.code} {error.reason}", len(body)
        self.response_headers += [("Content-Type", PROBLEM), ("X-Content-Type-Options", "nosniff")]
        self.set_close_on_finish()
        self.write(body)
