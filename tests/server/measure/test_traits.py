from __future__ import annotations

from stablehand_server.measure import traits
from stablehand_tuner.contracts import metric_names as names


def test_each_value_of_each_metric_has_a_bit_of_its_own():
    found = traits.bitmap(names.APP_PATCHED_INFO, ["gevent", "gevent"])
    found |= traits.bitmap(names.IMPORTED_EARLY_INFO, ["other", "urllib3"])

    assert traits.values(names.APP_PATCHED_INFO, found) == ["gevent"]
    assert traits.values(names.IMPORTED_EARLY_INFO, found) == ["urllib3", "other"]
    assert traits.values(names.APP_PATCHED_INFO, 0) == []


def test_all_bits_fit_into_a_number_of_the_shared_mapping():
    places = traits._PLACES.values()

    assert sorted(places) == list(range(len(places)))
    assert float(2 ** len(places) - 1) == 2 ** len(places) - 1
