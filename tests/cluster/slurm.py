"""A SLURM cluster on this one machine, with nodes and GPUs that the machine does not have.

munged, slurmctld and a slurmd a node run as root on the loopback, with neither cgroups nor a database. Cores and memory
are what the nodes claim; a GPU is an empty file, which is counted and handed out. The memory of a job's processes is
sampled, and a job over its limit is killed. The partitions are those of ``profiles/slurm/partitions.yaml``, and
``urgent``, whose jobs take the nodes of others, which are requeued.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SYSTEM_CONF = Path("/etc/slurm")
"""A job's own ``srun`` looks here, because the executor drops every variable of SLURM."""

PREFIX = "medsyn2-slurm-"
"""Begins the name of a cluster's folder."""

LIMIT_S = 300
"""The longest wait for anything."""

NODES = {"cpu1": 0, "gpu1": 2, "gpu2": 2}
"""GPUs of each node."""

CONF = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmctldPort=16817
CommunicationParameters=block_null_hash,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
JobCompType=jobcomp/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MinJobAge=300
KillWait=10
InactiveLimit=0
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
{nodes}
PartitionName=compute Nodes=cpu1 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=gpu Nodes=gpu1,gpu2 MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def reason_not_to_start() -> str | None:
    """Return why no cluster can be started here, or None."""
    if missing := [name for name in DAEMONS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]:
        return f"needs {', '.join(missing)}: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "needs root, for the daemons of SLURM"
    if (SYSTEM_CONF / "slurm.conf").exists() and _abandoned() is None:
        return f"this machine has a SLURM of its own in {SYSTEM_CONF}"
    return None


def _abandoned() -> Path | None:
    """Return the folder of a cluster of ours that a killed test left behind, or None."""
    folder = (SYSTEM_CONF / "slurm.conf").resolve().parent
    return folder if folder.name.startswith(PREFIX) else None


class NoDaemonError(Exception):
    """A daemon of SLURM that is installed refuses to run on this machine."""


@dataclass(frozen=True)
class Slurm:
    """A running cluster.

    Attributes:
        folder: Configuration, state and logs of the daemons; its path is short, as a socket's has to be.
    """

    folder: Path

    def start(self) -> None:
        """Write the configuration, start the daemons, and wait until every node is idle.

        Raises:
            NoDaemonError: If a daemon refuses to run here.
        """
        if folder := _abandoned():
            Slurm(folder).stop()
        self._configure()
        munge = ["--force", f"--key-file={self.folder}/munge.key", f"--socket={self.folder}/munge.socket"]
        munge += [f"--{name}-file={self.folder}/munged.{name}" for name in ("pid", "log", "seed")]
        self._daemon("/usr/sbin/munged", *munge)
        self._daemon("slurmctld", "-f", f"{self.folder}/slurm.conf")
        for node in NODES:
            self._daemon("slurmd", "-f", f"{self.folder}/slurm.conf", "-N", node)
        wait_until(lambda: self._run("sinfo", "-h", "-N", "-p", "urgent", "-o", "%T").split() == ["idle"] * len(NODES))

    def stop(self) -> None:
        """End the jobs and the daemons, and remove the configuration."""
        subprocess.run(["scancel", "--user=root"], capture_output=True, check=False)
        wait_until(lambda: not subprocess.run(["squeue", "-h"], capture_output=True, check=False).stdout)
        pids = [int(path.read_text("utf-8")) for path in self.folder.glob("*.pid")]
        alive = [pid for pid in pids if _name_of(pid) in DAEMONS]
        for pid in alive:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not any(map(_name_of, alive)))
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            (SYSTEM_CONF / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM says."""
        return self._run(*command)

    def wait_for(self, rule: str, after: str = "0") -> str:
        """Wait until a job of a rule runs that was submitted after another, and return its number."""
        found: list[str] = []

        def runs() -> list[str]:
            rows = [line.split("|") for line in self.ask("squeue", "-h", "-t", "R", "-o", "%A|%k").splitlines()]
            found[:] = [
                job for job, name in rows if re.match(rf"rule_{rule}(_wildcards_|$)", name) and int(job) > int(after)
            ]
            return found

        wait_until(runs)
        return found[0]

    def is_active(self, job: str) -> bool:
        """Return whether a job waits or works."""
        return job in self.ask("squeue", "-h", "-o", "%A").split()

    def _configure(self) -> None:
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        host, nodes, gpus = socket.gethostname().split(".")[0], "", "AutoDetect=off\n"
        for index, (node, num_gpus) in enumerate(NODES.items()):
            claims = f"Port={17001 + index} CPUs=16 RealMemory=200000 Gres=gpu:{num_gpus}"
            nodes += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 {claims}\n"
            for gpu in range(num_gpus):
                (self.folder / f"{node}-gpu{gpu}").touch()
                gpus += f"NodeName={node} Name=gpu File={self.folder}/{node}-gpu{gpu}\n"
        texts = {"slurm": CONF.format(host=host, folder=self.folder, nodes=nodes), "gres": gpus}
        texts["cgroup"] = "CgroupPlugin=cgroup/v1\n"
        SYSTEM_CONF.mkdir(exist_ok=True)
        for name, text in texts.items():
            path = self.folder / f"{name}.conf"
            path.write_text(text, encoding="utf-8")
            (SYSTEM_CONF / path.name).symlink_to(path)

    def _daemon(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if done.returncode:
            raise NoDaemonError(f"{command[0]}: {done.stdout}{done.stderr}")

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


def _name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def wait_until(holds: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait until something holds, at most so long."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, f"not within {limit_s} s"
        time.sleep(0.2)
