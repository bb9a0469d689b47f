"""The manifests: rendered by kustomize as an operator would, judged against Kubernetes' own schemas, and sealed off."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import WorkSettings
from deploy.kubernetes.build import RULE, prometheus_rule
from tests.deploy.commands import output_of_success, verdict
from tests.tools import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
COMPONENTS = ("autoscaling", "prometheus-operator")
OURS = ("poller", "worker")

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Render the example with every component, as its comments say."""
    folder = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(FOLDER, folder)
    overlay = folder / "example" / "kustomization.yaml"
    components = "".join(f"  - ../components/{name}\n" for name in COMPONENTS)
    overlay.write_text(f"{overlay.read_text(encoding='utf-8')}components:\n{components}", encoding="utf-8")
    rendered = folder / "rendered.yaml"
    rendered.write_text(output_of_success("kubectl", "kustomize", overlay.parent), encoding="utf-8")
    return rendered


@pytest.fixture(scope="module")
def manifests(everything: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(everything.read_text(encoding="utf-8")))


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def pod(manifests: list[Manifest], name: str) -> Manifest:
    spec: Manifest = one(manifests, "Deployment", f"jobworker-{name}")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("name", ["base", "example"])
def test_kustomize_renders_what_kubernetes_accepts(name: str, tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(output_of_success("kubectl", "kustomize", FOLDER / name), encoding="utf-8")
    code, printed = verdict("kubernetes-validate", "--strict", rendered)
    assert code == 0, printed
    assert "WARN" not in printed


def test_kubernetes_accepts_everything_with_all_components(everything: Path) -> None:
    code, printed = verdict("kubernetes-validate", "--strict", everything)
    unknown = [line for line in printed.splitlines() if "WARN" in line]
    assert code == 0, printed
    assert all("ScaledObject" in line or "PodMonitor" in line or "PrometheusRule" in line for line in unknown), unknown


def test_the_example_of_a_secret_is_valid_and_applied_by_nobody(manifests: list[Manifest]) -> None:
    output_of_success("kubernetes-validate", "--strict", FOLDER / "example" / "secret.example.yaml")
    assert not [manifest for manifest in manifests if manifest["kind"] == "Secret"]


def test_the_secret_has_the_files_that_the_settings_name(manifests: list[Manifest]) -> None:
    secret = yaml.safe_load((FOLDER / "example" / "secret.example.yaml").read_text(encoding="utf-8"))
    (settings,) = [manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"]
    files = {Path(value).name for name, value in settings.items() if name.endswith("_FILE")}
    assert files == set(secret["stringData"])
    for name in OURS:
        (volume,) = [volume for volume in pod(manifests, name)["volumes"] if "secret" in volume]
        assert volume["secret"]["secretName"] == secret["metadata"]["name"]


@pytest.mark.parametrize("name", OURS)
def test_processes_run_with_nothing_they_do_not_need(manifests: list[Manifest], name: str) -> None:
    spec = pod(manifests, name)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize(("name", "port"), [("poller", 9464), ("worker", 9465)])
def test_processes_are_probed_where_they_answer(manifests: list[Manifest], name: str, port: int) -> None:
    (container,) = pod(manifests, name)["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}


def test_a_draining_worker_is_given_the_time_it_may_take(manifests: list[Manifest]) -> None:
    margin = timedelta(seconds=15)
    grace = timedelta(seconds=pod(manifests, "worker")["terminationGracePeriodSeconds"])
    assert grace >= WorkSettings.model_fields["shutdown_timeout"].default + margin


def test_childrens_metrics_are_kept_in_memory(manifests: list[Manifest]) -> None:
    (container,) = pod(manifests, "worker")["containers"]
    (folder,) = [variable["value"] for variable in container["env"] if variable["name"] == "PROMETHEUS_MULTIPROC_DIR"]
    in_memory = {v["name"] for v in pod(manifests, "worker")["volumes"] if v.get("emptyDir", {}).get("medium")}
    (mount,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] in in_memory]
    assert Path(folder).parent == Path(mount)


@pytest.mark.parametrize("name", OURS)
def test_budgets_and_policies_select_our_pods(manifests: list[Manifest], name: str) -> None:
    labels = one(manifests, "Deployment", f"jobworker-{name}")["spec"]["template"]["metadata"]["labels"]
    budget = one(manifests, "PodDisruptionBudget", f"jobworker-{name}")["spec"]["selector"]["matchLabels"]
    policy = one(manifests, "NetworkPolicy", "jobworker")["spec"]["podSelector"]["matchLabels"]
    monitor = one(manifests, "PodMonitor", "jobworker")["spec"]["selector"]["matchLabels"]
    for selector in (budget, policy, monitor):
        assert selector.items() <= labels.items()


def test_the_scaler_and_not_the_deployment_says_how_many_workers(manifests: list[Manifest]) -> None:
    scaled = one(manifests, "ScaledObject", "jobworker-worker")["spec"]
    assert "replicas" not in one(manifests, "Deployment", "jobworker-worker")["spec"]
    assert scaled["scaleTargetRef"]["name"] == "jobworker-worker"
    assert {trigger["type"] for trigger in scaled["triggers"]} == {"prometheus"}


def test_everything_is_in_the_namespace_of_the_overlay(manifests: list[Manifest]) -> None:
    assert {m["metadata"].get("namespace") for m in manifests if m["kind"] != "Namespace"} == {"jobworker"}


def test_the_operators_rule_holds_the_alerts_as_they_are() -> None:
    assert RULE.read_text(encoding="utf-8") == prometheus_rule(), "run: python -m deploy.kubernetes.build"
