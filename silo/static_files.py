"""Static files, answered whole."""

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # it has no types
    """WhiteNoise's, whose answers are files that are read piece by piece.

    Django warns of that under ASGI, and reads the whole file first all the same.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        """Return the answer with the whole content, of some 300 kB at most."""
        pieces = WhiteNoiseMiddleware.serve(static_file, request)
        content = b"".join(pieces.streaming_content)
        pieces.close()
        return HttpResponse(content, status=pieces.status_code, headers=pieces.headers)
