from __future__ import annotations

import pytest

from stablehand_server.exporter.negotiation import format_for, gzip_wanted

PLAIN, PLAIN_1, OPENMETRICS = (
    "text/plain; version=0.0.4",
    "text/plain; version=1.0.0",
    "application/openmetrics-text; version=1.0.0",
)
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/*", PLAIN),
        ("text/plain", PLAIN),
        ("image/png", PLAIN),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS),
        ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.5", PLAIN),
        ("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;version=0.0.4;q=0.9", PLAIN),
        ("text/plain;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4", PLAIN_1),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.9", OPENMETRICS),
        ("application/openmetrics-text;q=0, */*;q=0.1", PLAIN),
        ("application/openmetrics-text;version=0.0.1, text/plain;q=0.1", PLAIN),
        ("application/openmetrics-text;version=9.9.9", PLAIN),
        ("application/openmetrics-text;version=nonsense", PLAIN),
        ("application/openmetrics-text;q=nan", OPENMETRICS),
        (";;,=;q=,,", PLAIN),
    ],
)
def test_the_format_that_the_client_prefers_is_served_and_plain_text_if_none_is_known(accept, content_type):
    _, served = format_for(accept)

    assert served.startswith(content_type)


@pytest.mark.parametrize(
    ("accept_encoding", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1.0", True),
        ("br", False),
    ],
)
def test_metrics_are_compressed_for_who_wants_them_so(accept_encoding, wanted):
    assert gzip_wanted(accept_encoding) is wanted
