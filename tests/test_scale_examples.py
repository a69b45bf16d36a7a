"""The examples of docs/scale.md, run with stand-ins for ssh, Slurm and Kubernetes."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from asmnet_kit.training.cluster.addresses import Cluster, cluster_of_environment

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"

# In place of the real ones. Each call of asmnet-kit leaves TF_CONFIG and its words in a file.
STAND_INS = {
    "asmnet-kit": """
        import json, os, sys
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        with open(os.environ["CALLS"] + f"/{index}", "w") as file:
            json.dump({"config": os.environ["TF_CONFIG"], "words": sys.argv[1:]}, file)
    """,
    "ssh": """
        import subprocess, sys
        *options, host, command = sys.argv[1:]
        assert options == ["-tt"] and host.startswith("me@host")
        sys.exit(subprocess.run(["sh", "-c", command]).returncode)
    """,
    "scontrol": """
        import os, sys
        assert sys.argv[1:] == ["show", "hostnames", "host[1-2]"]
        print("host1\\nhost2")
    """,
    "srun": """
        import os, subprocess, sys
        command = [word for word in sys.argv[1:] if word != "--kill-on-bad-exit=0"]
        for task in "01":
            subprocess.run(command, env={**os.environ, "SLURM_PROCID": task}, check=True)
    """,
}
WORDS = ["--data", "/data/my faces", "--format", "records", "--out", "runs/it's"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the calls; the stand-ins come first in PATH."""

    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    calls.mkdir()
    for name, code in STAND_INS.items():
        (programs / name).write_text(f"#!{sys.executable}\n{textwrap.dedent(code)}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(calls))
    return calls


def check_calls(
    calls: Path, addresses: tuple[str, ...], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker was started once, in the same cluster, with the same words."""
    assert sorted(path.name for path in calls.iterdir()) == [
        str(index) for index in range(len(addresses))
    ]
    for index in range(len(addresses)):
        call = json.loads((calls / str(index)).read_text())
        monkeypatch.setenv("TF_CONFIG", call["config"])
        assert cluster_of_environment() == Cluster(addresses, index)
        assert call["words"] == ["train", "--strategy", "multiworker", *words]


def test_workers_are_started_over_ssh(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = EXAMPLES / "train_over_ssh.sh"
    subprocess.run(["bash", script, "me@host1", "me@host2", "--", *WORDS], check=True)
    check_calls(calls, ("host1:2222", "host2:2222"), WORDS, monkeypatch)
    alone = subprocess.run(["bash", script, "me@host1"], capture_output=True, text=True)
    assert alone.returncode == 2 and alone.stderr.startswith("usage: ")


def test_workers_are_started_by_slurm(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = EXAMPLES / "train.sbatch"
    options = [line.split() for line in script.read_text().splitlines() if "#SBATCH --" in line]
    assert {words[1].partition("=")[0] for words in options if words[0] == "#SBATCH"} >= {
        "--nodes", "--ntasks-per-node", "--requeue",
    }  # fmt: skip
    monkeypatch.setenv("SLURM_JOB_NODELIST", "host[1-2]")
    subprocess.run(["bash", script, *WORDS], check=True)
    words = ["--max-restarts", "3", *WORDS]
    check_calls(calls, ("host1:2222", "host2:2222"), words, monkeypatch)


def test_workers_are_started_by_kubernetes(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, service, job = yaml.safe_load_all((EXAMPLES / "train_job.yml").read_text())
    assert (service["kind"], service["spec"]["clusterIP"]) == ("Service", "None")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert job["apiVersion"] == "batch/v1" and spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 4
    assert pod["subdomain"] == service["metadata"]["name"]
    # Every pod of a Job mounts what its template says, on several nodes.
    (mounted,) = (one for one in pod["volumes"] if "persistentVolumeClaim" in one)
    assert mounted["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["WORKERS"] == "4"
    for index in range(4):
        subprocess.run(
            [*container["command"], *container["args"]],
            env={**os.environ, **environment, "JOB_COMPLETION_INDEX": str(index)},
            check=True,
        )
    name = job["metadata"]["name"]
    addresses = tuple(f"{name}-{index}.{pod['subdomain']}:2222" for index in range(4))
    words = ["--max-restarts", "20", "--data", "s3://bucket/faces", "--format", "records"]
    check_calls(calls, addresses, [*words, "--out", "/runs/big"], monkeypatch)
