"""The files in examples/ are what the tools that read them ask for; tests/runner/test_cluster.py runs by_hand.sh."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

FOLDER = Path(__file__).parents[1] / "examples" / "cluster"


def test_the_launcher_s_file_is_what_ray_asks_for():
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((FOLDER / "launcher.yaml").read_text())
    jsonschema.validate(config, schema)
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)


def test_kubernetes_file_has_the_installed_ray_and_a_token():
    (cluster,) = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text())
    spec = cluster["spec"]
    assert (cluster["kind"], spec["rayVersion"], spec["authOptions"]) == (
        "RayCluster",
        ray.__version__,
        {"mode": "token"},
    )
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == "registry.example.org/deadweight:0.1.0"


@pytest.mark.parametrize("name", ["by_hand.sh", "slurm.sh"])
def test_a_script_is_one(name):
    subprocess.run(["sh", "-n", FOLDER / name], check=True)
    assert "export RAY_AUTH_MODE=token" in (FOLDER / name).read_text()
