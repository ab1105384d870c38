"""The Kubernetes API as the operator uses it: server-side apply, a few patches, listings, Events.

One place turns the API's errors into sentences. Nothing here decides anything.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from stablehand_operator.names import FIELD_MANAGER, GROUP, KIND, PLURAL, VERSION

if TYPE_CHECKING:
    from stablehand_operator.builders import Manifest

_PATHS = {
    "Pod": ("api/v1", "pods"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Service": ("api/v1", "services"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Event": ("api/v1", "events"),
    "Deployment": ("apis/apps/v1", "deployments"),
    KIND: (f"apis/{GROUP}/{VERSION}", PLURAL),
}

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"

_TIMEOUT_SECONDS = 15.0
_PAGE = 500

_NOT_FOUND = 404
_CONFLICT = 409
_FIRST_ERROR = 400
# Worth another attempt later: conflicts, too many requests, and errors of the server.
_PASSING = frozenset({408, _CONFLICT, 425, 429})
_FIRST_SERVER_ERROR = 500


class ClusterError(Exception):
    """The API server refused, or could not be reached; the message is one sentence.

    Attributes:
        status: the HTTP status, or None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later without any other change."""
        return self.status is None or self.status in _PASSING or self.status >= _FIRST_SERVER_ERROR

    @property
    def conflict(self) -> bool:
        """Whether the object was changed since it was read."""
        return self.status == _CONFLICT


class Cluster:
    """A connection to the API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    @classmethod
    async def connect(cls) -> Cluster:
        """Connect with the pod's service account, or outside of a cluster with the kubeconfig.

        Raises:
            ClusterError: when there is neither.
        """
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            try:
                await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            except config.ConfigException as error:
                raise ClusterError(
                    f"no cluster to work for: this is no pod with a service account, and no kubeconfig is usable "
                    f"({error}); set KUBECONFIG"
                ) from error
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Close every connection."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def knows_the_resource(self) -> bool:
        """Tell whether the WSGIApp's CustomResourceDefinition is established."""
        prefix, plural = _PATHS[KIND]
        try:
            answer = await self._request("GET", f"/{prefix}")
        except ClusterError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return any(each.get("name") == plural for each in answer.get("resources", []))

    async def apply(self, manifest: Manifest) -> Manifest:
        """Apply a manifest on the server's side: its fields become the operator's, all others stay as they are."""
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata["namespace"], metadata["name"])
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._request("PATCH", path, query=query, body=manifest, content_type=_APPLY)

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None when there is none."""
        try:
            return await self._request("GET", _path(kind, namespace, name))
        except ClusterError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def list_all(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Manifest]:
        """Return all objects of a kind, in one namespace or everywhere."""
        objects: list[Manifest] = []
        token = ""
        while True:
            query = [("limit", str(_PAGE))]
            query += [("labelSelector", selector)] if selector else []
            query += [("continue", token)] if token else []
            page = await self._request("GET", _path(kind, namespace), query=query)
            # The items of a list lack their kind.
            objects += [{**each, "kind": kind} for each in page.get("items", [])]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return objects

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> Manifest:
        """Set annotations of a pod; None removes one."""
        patch = {"metadata": {"annotations": annotations}}
        return await self._request("PATCH", _path("Pod", namespace, name), body=patch, content_type=_MERGE)

    async def write_status(self, namespace: str, name: str, status: dict[str, Any], resource_version: str) -> Manifest:
        """Replace a WSGIApp's status, if the object was not changed since `resource_version`.

        Raises:
            ClusterError: with `conflict` when it was.
        """
        # Not a merge patch, in which a null removes a field.
        patch = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = _path(KIND, namespace, name) + "/status"
        return await self._request("PATCH", path, body=patch, content_type=_JSON_PATCH)

    async def create_event(self, event: Manifest) -> None:
        """Create a Kubernetes Event."""
        path = _path("Event", event["metadata"]["namespace"])
        await self._request("POST", path, body=event, content_type=_JSON)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        content_type: str | None = None,
    ) -> dict[str, Any]:
        headers = {"Accept": _JSON} | ({"Content-Type": content_type} if content_type else {})
        try:
            request = await self._api.param_serialize(
                method, path, query_params=query or [], header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await self._api.call_api(*request, _request_timeout=_TIMEOUT_SECONDS)
            content = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ClusterError(f"the API server does not answer ({method} {path}): {reason}") from error
        except client.ApiException as error:
            raise ClusterError(_sentence(method, path, str(error.body or error.reason)), error.status) from error
        text = content.decode("utf-8", "replace")
        if response.status >= _FIRST_ERROR:
            raise ClusterError(_sentence(method, path, text), response.status)
        answer: dict[str, Any] = json.loads(text)
        return answer


def _path(kind: str, namespace: str | None, name: str | None = None) -> str:
    prefix, plural = _PATHS[kind]
    parts = [prefix, *(["namespaces", quote(namespace)] if namespace else []), plural, *([quote(name)] if name else [])]
    return "/" + "/".join(parts)


def _sentence(method: str, path: str, answer: str) -> str:
    """Return the API server's message, which comes as a `Status` object, or else the whole answer."""
    try:
        message = str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.strip()[:300] or "no reason given"
    return f"the API server refused {method} {path}: {message}"
