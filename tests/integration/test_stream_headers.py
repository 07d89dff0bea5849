"""What is added to answers that do not pass through Django does not depend on which requests came before."""

import itertools

import pytest

from silo import stream_answers

HEADERS = {
    b"host": [None, b"127.0.0.1:8000", b"evil.example", b"localhost", b"bad host"],
    b"origin": [None, b"https://evil.example"],
    b"x-forwarded-proto": [None, b"https"],
    b"x-forwarded-host": [None, b"evil.example"],
}
CASES = list(itertools.product(*HEADERS.values()))


def scope(values, method="GET", path="/api/events", scheme="http"):
    given = zip(HEADERS, values, strict=True)
    return {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": path,
        "query_string": b"a=b",
        "headers": [(b"accept", b"*/*"), *((k, v) for k, v in given if v is not None)],
        "server": ["127.0.0.1", 8000],
    }


def seen(judgement):
    answer, added = judgement
    shown = answer and (answer.status_code, sorted(answer.items()), answer.content)
    return shown, sorted(added)


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_what_is_kept_is_what_the_middleware_says(method, https, settings):
    settings.ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
    if https:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    stream_answers._judged_common.cache_clear()
    try:
        for _ in range(2):
            for values, path, scheme in itertools.product(
                CASES, ["/api/events", "/api/items/ü/events", "/other"], ["http", "https"]
            ):
                one = scope(values, method, path, scheme)
                assert seen(stream_answers._judged(one)) == seen(stream_answers._judge(one)), one
        kept = stream_answers._judged_common.cache_info()
        assert bool(kept.hits) == (method in ("GET", "POST"))
    finally:
        stream_answers._judged_common.cache_clear()
