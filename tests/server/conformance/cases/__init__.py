"""The cases, by what they are about: importing this declares all of them, in the order of the page."""

from conformance.cases import hostile, bodies, responses, patience, websockets, proxies, tls, lifecycle, shortage  # noqa: F401, I001 (the order of the page)
