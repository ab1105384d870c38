from __future__ import annotations

import io

import pytest
from gunicorn.config import Config
from gunicorn.http.body import Body
from gunicorn.http.errors import ExpectationFailed

from stablehand_server.workers.asgi.bridged_request import BridgedRequest


def bridged(*headers, **changed):
    known = {"method": "GET", "uri": "/", "version": (1, 1), "scheme": "http", "peer": ("127.0.0.1", 1)}
    return BridgedRequest(Config(), headers=headers, body=Body(io.BytesIO()), number=1, **{**known, **changed})


@pytest.mark.parametrize(
    ("codings", "closes"), [("chunked", False), ("identity, chunked", False), ("GZIP, chunked", True)]
)
def test_a_coding_that_nobody_undoes_closes_the_connection(codings, closes):
    assert bridged(("TRANSFER-ENCODING", codings)).should_close() is closes


@pytest.mark.parametrize(
    ("uri", "path", "query"),
    [("//a//b?c?d", "//a//b", "c?d"), ("http://other/a%20b?c", "/a%20b", "c"), ("/a#b?c", "/a", ""), ("*", "*", "")],
)
def test_the_target_is_split_as_gunicorns_wsgi_parser_splits_it(uri, path, query):
    request = bridged(uri=uri)
    assert (request.path, request.query) == (path, query)


def test_an_expectation_that_nobody_can_meet_is_refused():
    assert bridged(("EXPECT", "100-continue"))._expected_100_continue
    with pytest.raises(ExpectationFailed):
        bridged(("EXPECT", "something else"))
