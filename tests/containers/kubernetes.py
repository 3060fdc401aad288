"""examples/kubernetes.yaml: valid for three releases, strict, and its commands run under its restrictions."""

from pathlib import Path
from typing import Any

import yaml

from command import Outcome, run
from connections import NETWORK, PASSWORD, history, start
from image import ANY_USER, IMAGE
from lab import Lab
from tally import Tally, expect, expect_equal

RELEASES = ["1.35", "1.36", "1.37"]
MANIFESTS = "examples/kubernetes.yaml"


def test(lab: Lab, tally: Tally) -> None:
    manifests = list(yaml.safe_load_all((lab.project / MANIFESTS).read_text()))
    for release in RELEASES:
        with tally.case(f"kubernetes: the manifests are valid for {release}, without unknown fields"):
            run(
                lab.directory / "venv/bin/kubernetes-validate",
                "--strict",
                "--version",
                release,
                lab.project / MANIFESTS,
            )
    for kind, pod in pods(manifests):
        with tally.case(f"kubernetes: the pod of the {kind} may do little"):
            expect_restricted(pod)
    test_commands(lab, tally, manifests)


def pods(manifests: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The pods with the kinds that make them."""
    found = []
    for manifest in manifests:
        spec = manifest.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            found.append((f"{manifest['kind']} {manifest['metadata']['name']}", template["spec"]))
    return found


def expect_restricted(pod: dict[str, Any]) -> None:
    """What the profile `restricted` of the Pod Security Standards asks for, and a read-only root for tarsy-db."""
    expect_equal(pod["securityContext"]["runAsNonRoot"], True)
    expect_equal(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
    expect_equal(pod["automountServiceAccountToken"], False)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = container["securityContext"]
        expect_equal((context["allowPrivilegeEscalation"], context["capabilities"]), (False, {"drop": ["ALL"]}))
        if "tarsy-db:" in container["image"]:
            expect_equal(context["readOnlyRootFilesystem"], True)
            expect("memory" in container["resources"]["limits"], container["resources"])


def test_commands(lab: Lab, tally: Tally, manifests: list[dict[str, Any]]) -> None:
    """Runs each container of tarsy-db as its manifest says, in the order of an installation."""
    start(lab)
    (secret := lab.directory / "kubernetes-secret").mkdir(exist_ok=True)
    (secret / "url").write_text(f"postgresql://tarsy:{PASSWORD}@database:5432/tarsy")
    directories = {"database": secret, "history": history(lab).parent}
    retention = next(manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap")
    shared = {**retention, "HISTORY_RETENTION_DAYS": "90"}
    for kind, pod in pods(manifests):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            if "tarsy-db:" in container["image"]:
                with tally.case(f"kubernetes: `{container['name']}` of the {kind} runs under its restrictions"):
                    run_container(lab, container, pod, directories, shared)
    lab.remove_containers()


def run_container(
    lab: Lab, container: dict, pod: dict, directories: dict[str, Path], shared: dict[str, str]
) -> Outcome:
    memory = container["resources"]["limits"]["memory"].removesuffix("i").lower()
    words = ["run", "--rm", *ANY_USER, f"--network={NETWORK}", f"--memory={memory}"]
    kinds = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        if "emptyDir" in kinds[mount["name"]]:
            words.append(f"--tmpfs={mount['mountPath']}")
        else:
            words.append(f"--volume={directories[mount['name']]}:{mount['mountPath']}:ro")
    variables = {one["name"]: one["value"] for one in container.get("env", [])}
    if "envFrom" in container:
        variables |= shared
    words += [f"--env={name}={value}" for name, value in variables.items()]
    return lab.podman(*words, IMAGE, *container["args"])
