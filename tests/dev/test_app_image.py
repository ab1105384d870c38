"""What an app's build on the server image is told: versions that the server can work with, and this machine's index."""

from __future__ import annotations

import re
import sys

import pytest

from stablehand_dev.images.build_arguments import certificate_bundle, pip_configuration
from stablehand_dev.paths import REPOSITORY

CONSTRAINTS = REPOSITORY / "requirements" / "app-constraints.txt"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads TOML with the standard library")
def test_the_constraints_are_the_versions_that_the_server_asks_for():
    import tomllib  # noqa: PLC0415 (not in Python 3.10)

    project = tomllib.loads((REPOSITORY / "server" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {each for group in project["optional-dependencies"].values() for each in group} | {*project["dependencies"]}
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()

    versioned = {each for each in asked if re.search(r"[<>=]", each)}
    assert {line for line in lines if line and not line.startswith("#")} == versioned


def test_pip_is_told_of_an_index_and_of_certificates_where_the_machine_has_them():
    assert pip_configuration({}, None) == "[global]\n"
    environment = {"PIP_INDEX_URL": "https://index.test/simple", "PIP_CERT": "/etc/ca.pem", "SSL_CERT_FILE": "/other"}

    assert certificate_bundle(environment) == "/etc/ca.pem"
    assert pip_configuration(environment, "/run/ca.pem") == (
        "[global]\nindex-url = https://index.test/simple\ncert = /run/ca.pem\n"
    )
