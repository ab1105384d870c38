"""What the chart makes: least privilege, one operator, and a definition that outlives the release."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from stablehand_dev.paths import REPOSITORY

pytestmark = pytest.mark.integration  # Helm may have to be built first

OPERATOR_DOCUMENT = (REPOSITORY / "docs" / "operator.md").read_text(encoding="utf-8")


def rights(rules):
    """Rules as a set of (group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def documented_rights():
    """The table under "Permissions"."""
    section = OPERATOR_DOCUMENT.partition("## Permissions")[2].partition("\n## ")[0]
    found = set()
    for group, resources, verbs in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE):
        if "`" in resources:
            name = "" if group == "(core)" else group.strip("`")
            for resource in re.findall(r"`(.+?)`", resources):
                found |= {(name, resource, verb.strip()) for verb in verbs.split(",")}
    return found


def operator_role(rendered, kind="ClusterRole"):
    (binding,) = rendered.of(f"{kind}Binding")
    (role,) = [each for each in rendered.of(kind) if each["metadata"]["name"] == binding["roleRef"]["name"]]
    return role


def test_helm_finds_nothing_to_complain_about(helm, chart):
    done = helm("lint", "--strict", chart)
    assert done.returncode == 0, done.stdout


def test_the_operator_gets_exactly_the_rights_that_its_document_lists(render):
    assert len(documented_rights()) > 20
    assert rights(operator_role(render())["rules"]) == documented_rights()


def test_no_right_names_a_wildcard_a_secret_or_a_deletion_for_the_operator(render):
    for group, resource, verb in rights(operator_role(render())["rules"]):
        assert "*" not in {group, resource, verb}
        assert resource not in {"secrets", "pods/exec"}
        assert not verb.startswith("delete")


def test_served_namespaces_get_a_role_each_and_nothing_is_cluster_wide_for_the_operator(render):
    rendered = render({"watchNamespaces": ["shop", "blog"], "rbac": {"aggregate": False}})
    assert not rendered.of("ClusterRole")
    assert not rendered.of("ClusterRoleBinding")
    for kind in ("Role", "RoleBinding"):
        assert {each["metadata"]["namespace"] for each in rendered.of(kind)} == {"shop", "blog"}
    assert all(rights(role["rules"]) == documented_rights() for role in rendered.of("Role"))
    for binding in rendered.of("RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "stablehand", "namespace": "system"}]
    assert {"name": "STABLEHAND_NAMESPACES", "value": "shop blog"} in rendered.container["env"]


def test_every_option_given_to_the_operator_is_one_that_it_documents(render):
    for variable in render().container["env"]:
        assert f"`{variable['name']}`" in OPERATOR_DOCUMENT


def test_there_is_one_operator_and_never_two_at_once(render):
    spec = render().one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_the_operator_runs_without_root_without_capabilities_and_cannot_write_its_image(render):
    rendered = render()
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert rendered.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False


def test_a_blind_operator_is_restarted_and_one_that_is_not_ready_is_seen(render):
    container = render().container
    assert container["command"] == ["stablehand", "run"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["resources"]["requests"]
    assert container["resources"]["limits"]["memory"]


def test_the_definition_is_the_generated_one_and_stays_when_the_release_goes(render, chart):
    rendered = render().one("CustomResourceDefinition")
    assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    generated = yaml.safe_load((chart / "files" / "wsgiapps.yaml").read_text(encoding="utf-8"))
    assert rendered["spec"] == generated["spec"]
    assert not render({"crds": {"enabled": False}}).of("CustomResourceDefinition")


def test_the_dashboard_comes_in_a_config_map_that_grafanas_sidecar_finds(render):
    rendered = render().one("ConfigMap")
    assert rendered["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(rendered["data"]["stablehand.json"])["uid"] == "stablehand-wsgiapp"
    assert not render({"dashboards": {"enabled": False}}).of("ConfigMap")


def test_monitors_are_made_only_when_asked_for_and_label_as_the_dashboard_expects(render):
    assert not render().of("PodMonitor")
    rendered = render({"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}})
    (endpoint,) = rendered.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "metrics"
    assert [rule["targetLabel"] for rule in endpoint["relabelings"]] == ["app"]
    selector = rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= rendered.one("Service")["metadata"]["labels"].items()


def test_a_digest_wins_over_a_tag(render):
    digest = "sha256:" + "a" * 64
    image = {"repository": "here/operator", "tag": "1", "digest": digest}
    assert render({"image": image}).container["image"] == f"here/operator@{digest}"
    assert render({"image": {"repository": "here/operator", "tag": "1"}}).container["image"] == "here/operator:1"


def test_two_releases_of_one_name_in_two_namespaces_share_no_cluster_wide_name(render, helm, chart):
    other = helm("template", "stablehand", chart, "--namespace", "elsewhere", "--kube-version", "1.34.0")
    for role in render().of("ClusterRole"):
        assert f"name: {role['metadata']['name']}\n" not in other.stdout


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"imgae": {}}, "'imgae' not allowed"),
        ({"image": {"repo": "x"}}, "'repo' not allowed"),
        ({"operator": {"logLevel": "loud"}}, "/operator/logLevel"),
        ({"operator": {"scrapeIntervalSeconds": 0}}, "/operator/scrapeIntervalSeconds"),
        ({"watchNamespaces": "shop"}, "/watchNamespaces"),
        ({"watchNamespaces": ["Not A Name"]}, "/watchNamespaces/0"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
        (
            {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}},
            "needs metrics.service.enabled",
        ),
    ],
)
def test_bad_values_are_refused_naming_the_value_at_fault(refusal, values, said):
    assert said in refusal(values)
