"""deploy/kubernetes: valid by the schemas of Kubernetes, consistent with each other and with the image."""

from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from docs.repeated import VERSION
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import load
from services.uplink.connection.closing_times import STOP_WITHIN_S
from tests.deploy.compose import ROOT, image
from tests.support.command_line import parsed

FOLDER = ROOT / "deploy" / "kubernetes"
DOCUMENTS: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required.split(),
    }


_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
SERVICE_MONITOR = _object(
    "apiVersion kind metadata spec",
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "ServiceMonitor"},
    metadata=_object("name", name=_TEXT, labels=_TEXTS),
    spec=_object(
        "selector endpoints",
        selector=_object(matchLabels=_TEXTS),
        jobLabel=_TEXT,
        endpoints={
            "type": "array",
            "minItems": 1,
            "items": _object(
                port=_TEXT,
                path=_TEXT,
                interval={"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                honorLabels={"type": "boolean"},
                relabelings={
                    "type": "array",
                    "items": _object(
                        sourceLabels={"type": "array", "items": _TEXT}, targetLabel=_TEXT, action=_TEXT
                    ),
                },
            ),
        },
    ),
)
"""What the Prometheus Operator takes, as far as it is used here."""

VERSIONS = ["1.31.0", kubernetes_validate.latest_version()]
NAMES = [f"{document['kind']} {document['metadata']['name']}" for document in DOCUMENTS]


def kinds(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in DOCUMENTS if one["kind"] == kind}


DEPLOYMENTS = kinds("Deployment")
SERVICES = kinds("Service")


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(deployment)["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_each_manifest_is_valid(document: dict[str, Any], version: str) -> None:
    if document["kind"] == "ServiceMonitor":  # not Kubernetes' own
        jsonschema.validate(document, SERVICE_MONITOR)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document | {"sepc": {}}, SERVICE_MONITOR)
        return
    kubernetes_validate.validate(document, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document | {"sepc": {}}, version, strict=True)


def test_both_services_are_deployed() -> None:
    assert set(DEPLOYMENTS) == {"dayz-relay-modapi", "dayz-relay-uplink"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_deployments_run_commands_of_the_image(name: str) -> None:
    deployment, (environ, _, user) = DEPLOYMENTS[name], image()
    (service,) = container(deployment)["args"]
    assert name == f"dayz-relay-{service}"
    parsed([service])
    ports = {port["name"]: str(port["containerPort"]) for port in container(deployment)["ports"]}
    assert ports["admin"] == environ[f"RELAY_{service.upper()}__ADMIN_PORT"]
    assert ports.get("mods", environ["RELAY_MODAPI__PORT"]) == environ["RELAY_MODAPI__PORT"]
    context = pod(deployment)["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert container(deployment)["image"].endswith(f":{VERSION}")


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_pod_is_hardened_and_limited(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    assert (
        pod(deployment)["securityContext"]["runAsNonRoot"]
        and not pod(deployment)["automountServiceAccountToken"]
    )
    security = container(deployment)["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container(deployment)["resources"]["limits"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_lost_store_ends_no_pod_and_closes_no_port(name: str) -> None:
    probes = {
        kind: container(DEPLOYMENTS[name])[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")
    }
    assert probes["liveness"] == {"path": "/livez", "port": "admin"}
    # protocol.md M2: a mod registers once; without an address that mods can reach, nobody would answer it.
    assert probes["readiness"]["path"] == ("/livez" if name == "dayz-relay-modapi" else "/readyz")


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_everything_selects_the_pods_it_means(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        kinds("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"],
        *(one["spec"]["selector"] for service, one in SERVICES.items() if service.startswith(name)),
    ]
    assert len(selectors) >= 3
    for selector in selectors:
        assert selector.items() <= labels.items()
        others = [one for other, one in DEPLOYMENTS.items() if other != name]
        assert not any(
            selector.items() <= one["spec"]["template"]["metadata"]["labels"].items() for one in others
        )
    assert kinds("PodDisruptionBudget")[name]["spec"]["maxUnavailable"] < deployment["spec"]["replicas"]


def test_every_port_of_a_service_is_one_of_its_pods() -> None:
    for service in SERVICES.values():
        component = service["spec"]["selector"]["app.kubernetes.io/component"]
        ports = container(DEPLOYMENTS[f"dayz-relay-{component}"])["ports"]
        offered = {port["name"]: port["containerPort"] for port in ports}
        for port in service["spec"]["ports"]:
            assert offered[port["targetPort"]] == port["port"]


def test_the_mods_port_does_not_open_the_admin_port() -> None:
    assert [port["name"] for port in SERVICES["dayz-relay-modapi"]["spec"]["ports"]] == ["mods"]


def test_prometheus_finds_both_services_and_names_jobs_as_compose_does() -> None:
    (monitor,) = kinds("ServiceMonitor").values()
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [one for one in SERVICES.values() if wanted <= one["metadata"]["labels"].items()]
    jobs = {one["metadata"]["labels"][monitor["spec"]["jobLabel"]] for one in found}
    assert jobs == {"modapi", "uplink"} and len(found) == 2
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in [port["name"] for port in one["spec"]["ports"]] for one in found)
    asked = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert jobs <= {job["job_name"] for job in asked if job.get("honor_labels") == endpoint["honorLabels"]}
    assert endpoint["relabelings"][0]["targetLabel"] == asked[0]["relabel_configs"][0]["target_label"]


def test_the_example_of_settings_is_complete(tmp_path: Path) -> None:
    (config,), (secret,) = kinds("ConfigMap").values(), kinds("Secret").values()
    for deployment in DEPLOYMENTS.values():
        volumes = {volume["name"]: volume for volume in pod(deployment)["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container(deployment)["volumeMounts"]}
        assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
        assert volumes["secrets"]["secret"]["secretName"] == secret["metadata"]["name"]
        assert mounts["config"] == "/config"  # the working folder of the image
        toml = config["data"]["relay.toml"].replace(mounts["secrets"], str(tmp_path))
    (tmp_path / "relay.toml").write_text(toml)
    for name, text in secret["stringData"].items():
        assert f"{tmp_path}/{name}" in toml
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as refused:  # everybody knows the words of an example
        load(tmp_path / "relay.toml", image()[0])
    assert str(refused.value).count("is empty: write the value of") == 3
    for name in ("admin-token", "takaro-registration-token", "chernarus-identity", "chernarus-keys"):
        (tmp_path / name).write_text(f"{name}-0123456789")
    settings, warnings, _ = load(tmp_path / "relay.toml", image()[0])
    assert warnings == () and settings.redis.url and settings.instances[0].registration_token


def test_a_pod_has_the_time_in_which_uplink_answers_what_takaro_has_asked() -> None:
    for deployment in DEPLOYMENTS.values():
        assert pod(deployment)["terminationGracePeriodSeconds"] > STOP_WITHIN_S + 2
