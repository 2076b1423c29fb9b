"""The Dockerfile and the example for Kubernetes, as far as they can be checked without an engine; scripts/test-container
carries the Dockerfile out."""
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("sluice", "sluice-broker", "sluice-fetcher", "sluice-executor", "sluice-uploader")
SANITIZERS = {"libasan8", "libubsan1", "libtsan2"}


def stages():
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "deploy/Dockerfile").read_text()).replace("\\\n", " ")
    return [part.splitlines() for part in re.split(r"(?m)^(?=FROM )", text) if part.strip()]


def test_dockerfile():
    build, image = stages()
    assert build[0].split()[:2] == image[0].split()[:2] == ["FROM", "debian:12"]
    words = dict(line.split(None, 1) for line in image if line)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", words["USER"])
    assert json.loads(words["ENTRYPOINT"]) == ["sluice", "run"]


def test_dockerfile_installs_what_the_programs_need():
    install = next(line for line in stages()[1] if line.startswith("RUN"))
    listed = set(re.search(r"--no-install-recommends (.+?) &&", re.sub(r"\s+", " ", install))[1].split())
    linked = subprocess.run(["objdump", "-p", *(BUILD / "bin" / program for program in PROGRAMS)], capture_output=True, text=True,
                            check=True).stdout
    libraries = set(re.findall(r"NEEDED +(\S+)", linked))
    found = subprocess.run(["dpkg-query", "-S", *(f"*/{library}" for library in libraries)], capture_output=True, text=True).stdout
    needed = {line.split(":")[0] for line in found.splitlines() if re.search(r" (/usr)?/lib/[^/]*-linux-gnu/[^/]+$", line)}
    assert needed - {"libc6", "libgcc-s1"} - SANITIZERS == listed - {"ca-certificates"}


@pytest.fixture(scope="module")
def manifest():
    return list(yaml.safe_load_all((ROOT / "deploy/kubernetes.yaml").read_text()))


def of_kind(manifest, kind):
    return [part for part in manifest if part["kind"] == kind]


def pods(manifest):
    return {part["metadata"]["name"]: part for part in of_kind(manifest, "StatefulSet") + of_kind(manifest, "Deployment")}


def containers(manifest):
    return {c["name"]: (c, pod) for pod in pods(manifest).values() for c in pod["spec"]["template"]["spec"]["containers"]}


def test_manifest_hangs_together(manifest):
    assert all({"apiVersion", "kind", "metadata"} <= set(part) for part in manifest)
    assert set(pods(manifest)) == {"sluice", "sluice-executor"}
    assert {name: pod["metadata"]["name"] for name, (_, pod) in containers(manifest).items()} == {
        "broker": "sluice", "fetcher": "sluice", "uploader": "sluice", "executor": "sluice-executor"}
    assert pods(manifest)["sluice"]["spec"]["replicas"] == 1
    labels = {}
    for name, pod in pods(manifest).items():
        labels[name] = pod["spec"]["template"]["metadata"]["labels"]
        assert pod["spec"]["selector"]["matchLabels"] == labels[name]
    service, = of_kind(manifest, "Service")
    assert service["spec"]["selector"] == labels["sluice"]
    assert pods(manifest)["sluice"]["spec"]["serviceName"] == service["metadata"]["name"]
    policy, = of_kind(manifest, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == labels["sluice"]
    port, = policy["spec"]["ingress"][0]["ports"]
    assert (port["port"], port["endPort"]) == (service["spec"]["ports"][0]["port"], service["spec"]["ports"][0]["port"] + 7 + 128)
    config, = of_kind(manifest, "ConfigMap")
    for container, pod in containers(manifest).values():
        spec = pod["spec"]["template"]["spec"]
        volumes = {v["name"]: v for v in spec["volumes"]} | {c["metadata"]["name"]: c for c in pod["spec"].get("volumeClaimTemplates", [])}
        assert {m["name"] for m in container["volumeMounts"]} <= set(volumes)
        assert volumes["conf"]["configMap"]["name"] == config["metadata"]["name"]
        assert spec["terminationGracePeriodSeconds"] > 25  # --drainTimeout


def test_nobody_is_root_and_secrets_are_where_they_belong(manifest):
    for name, (container, pod) in containers(manifest).items():
        spec = pod["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and str(spec["securityContext"]["runAsUser"]) in "\n".join(stages()[1])
        assert spec["automountServiceAccountToken"] is False
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"] and own["capabilities"] == {"drop": ["ALL"]}
        mounts = {m["name"] for m in container["volumeMounts"]}
        assert ("api-key" in mounts) == (name in ("fetcher", "uploader"))
        assert ("state" in mounts) == (name != "executor")
        for volume in spec["volumes"]:
            if name == "executor":
                assert volume.get("secret", {}).get("secretName", "sluice-executor-key") == "sluice-executor-key"


def make_keys(folder):
    """As the manifest's first lines say: the broker's keys, the executor's, and the broker's public part in a file."""
    def key(*words):
        done = subprocess.run([BUILD / "bin/sluice", "key", *words, "--keysDir", folder / "keys"], capture_output=True, text=True,
                              timeout=60, check=True)
        return done.stdout.split()[-1]

    (folder / "broker.pub").write_text(key("new", "main", "--role", "broker") + "\n")
    key("allow", key("new", "k8s", "--role", "executor"))
    (folder / "keys/k8s.key").rename(folder / "executor_key")


@pytest.mark.parametrize("name", ["broker", "fetcher", "uploader", "executor"])
def test_the_programs_take_their_arguments(manifest, name, tmp_path):
    container, _ = containers(manifest)[name]
    config, = of_kind(manifest, "ConfigMap")
    (tmp_path / "sluice.conf").write_text(config["data"]["sluice.conf"])
    (tmp_path / "api_key").write_text("key\n")
    make_keys(tmp_path)
    words = [word.replace("/etc/sluice/", f"{tmp_path}/").replace("/run/secrets/ac/", f"{tmp_path}/")
             .replace("/run/secrets/broker", f"{tmp_path}/keys").replace("/run/secrets/executor/", f"{tmp_path}/")
             .replace("$(POD_IP)", "127.0.0.1").replace("$(POD_NAME)", "pod-1") for word in container["args"]]
    assert "$(" not in "".join(words)
    done = subprocess.run([BUILD / "bin" / container["command"][0], *words, "--check-config"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration is valid\n", "")
