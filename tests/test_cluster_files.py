"""The files of `scripts/examples/cluster`: what they tell the workers is what the package reads.

That SLURM and Kubernetes take them is not tested here: neither is on every machine.
"""

import json
import pathlib
import shutil
import subprocess

import pytest
import yaml

FOLDER = pathlib.Path(__file__).parents[1] / "scripts" / "examples" / "cluster"
GUIDE = FOLDER.parents[1] / "guides" / "several_machines.md"


def load_job(name, kind="Job"):
    """Returns the last object of a kind in a file, as nested dictionaries."""
    objects = yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
    return [one for one in objects if one["kind"] == kind][-1]


def make_tf_config(index):
    """Returns the `TF_CONFIG` that the script of a pod sets, as a dictionary."""
    job = load_job("train_job.yaml")
    container = job["spec"]["template"]["spec"]["containers"][0]
    variables = {one["name"]: one["value"] for one in container["env"]}
    lines, _, _ = container["args"][0].partition("exec ")
    printed = subprocess.run(
        ["bash", "-euc", lines + 'echo "$TF_CONFIG"'],
        env={**variables, "JOB_COMPLETION_INDEX": str(index), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    return json.loads(printed.stdout)


def test_a_pod_of_an_indexed_job_tells_its_worker_where_all_of_them_are():
    service, job = load_job("train_job.yaml", "Service"), load_job("train_job.yaml")
    port = service["spec"]["ports"][0]["port"]
    names = [
        f"{job['metadata']['name']}-{number}.{service['metadata']['name']}:{port}"
        for number in range(job["spec"]["completions"])
    ]
    for index in (0, 3):
        expected = {"cluster": {"worker": names}, "task": {"type": "worker", "index": index}}
        assert make_tf_config(index) == expected


def test_a_service_leads_to_the_pods_of_its_job():
    for file, job in (("train_job.yaml", "msggan"), ("search_job.yaml", "search-chief")):
        selector = load_job(file, "Service")["spec"]["selector"]
        assert selector == {"batch.kubernetes.io/job-name": job}
    pod = load_job("train_job.yaml")["spec"]["template"]["spec"]
    assert pod["subdomain"] == load_job("train_job.yaml", "Service")["metadata"]["name"]


def test_the_guide_shows_the_lines_of_the_job():
    script = load_job("train_job.yaml")["spec"]["template"]["spec"]["containers"][0]["args"][0]
    assert script.partition("exec ")[0] in GUIDE.read_text("utf-8")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.sbatch")), ids=lambda path: path.stem)
def test_a_script_of_slurm_is_one_of_bash(path):
    subprocess.run([shutil.which("bash"), "-n", path], check=True)
