"""On which cluster tests may run, and what they may remove from it: the decisions alone."""

from __future__ import annotations

import dataclasses

import pytest

from stablehand_dev.cluster import tenancy
from stablehand_dev.cluster.tenancy import Belongings, Release

OURS = Release("stablehand-e2e-1234", "stablehand-e2e-1234")
THEIRS = Release("system", "stablehand")
NAMESPACES = {OURS.namespace, "e2e-1"}
AFTER_OUR_RUN = Belongings(definition=True, owner=OURS)


def test_a_cluster_that_has_nothing_of_ours_is_not_refused():
    assert tenancy.refusal(Belongings()) is None


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (Belongings(definition=True), "the CustomResourceDefinition wsgiapps.stablehand.dev"),
        (Belongings(definition=True, owner=THEIRS), "of the release system/stablehand"),
        (Belongings(releases=(THEIRS,)), "Helm releases of the chart (system/stablehand)"),
        (Belongings(operators=("system/stablehand",)), "operators (system/stablehand)"),
        (Belongings(definition=True, apps=("default/shop",)), "WSGIApps (default/shop)"),
    ],
)
def test_whatever_a_cluster_has_of_ours_is_a_reason_to_refuse_it_and_is_named(found, named):
    said = tenancy.refusal(found)

    assert said is not None
    assert named in said
    assert "nothing was changed" in said


def test_many_apps_are_not_all_listed():
    said = tenancy.refusal(Belongings(definition=True, apps=tuple(f"default/shop-{number}" for number in range(40))))

    assert said is not None
    assert "and 35 more" in said
    assert "shop-30" not in said


def test_the_definition_that_the_run_created_is_removed_with_it():
    assert tenancy.may_remove_definition(AFTER_OUR_RUN, OURS, NAMESPACES)
    own = dataclasses.replace(AFTER_OUR_RUN, releases=(OURS,), apps=("e2e-1/shop",))
    assert tenancy.may_remove_definition(own, OURS, NAMESPACES)


@pytest.mark.parametrize(
    "more",
    [
        {"owner": THEIRS},
        {"owner": None},
        {"apps": ("default/shop",)},
        {"apps": ("e2e-1/shop", "e2e-10/shop")},
        {"releases": (THEIRS,)},
        {"releases": (Release(THEIRS.namespace, OURS.name),)},
        {"operators": ("system/stablehand",)},
    ],
)
def test_a_definition_that_others_own_or_use_stays(more):
    assert not tenancy.may_remove_definition(dataclasses.replace(AFTER_OUR_RUN, **more), OURS, NAMESPACES)


def test_where_there_is_no_definition_none_is_removed():
    assert not tenancy.may_remove_definition(Belongings(), OURS, NAMESPACES)
