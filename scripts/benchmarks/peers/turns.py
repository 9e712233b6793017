"""Peers take turns: A, B, C, A, B, C, so that a change of the machine's load affects all of them.

Each peer lives in a process of its environment (`ENVIRONMENTS`), which waits while others run.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# kerasmodes sets an XLA flag for its own process. Stock Keras and JAX run without it. JAX also runs
# with it, which shows the effect of the flag alone.
XLA_FLAG = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=131072,"
    "xla_cpu_disable_loop_unrolling"
)
ENVIRONMENTS = {
    "keras": {},
    "kerasmodes": {},
    "jax": {"JAX_PLATFORMS": "cpu"},
    "jax with the flag": {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": XLA_FLAG},
    "torch": {},
    "c": {},
}


@dataclasses.dataclass(frozen=True)
class Peer:
    """One thing to time.

    Args:
        name: What the tables call it.
        environment: One of `ENVIRONMENTS`.
        make: `"module:function"` of this folder; the function returns what is timed.
        arguments: Keyword arguments of that function, JSON.
        fresh: Whether each repeat gets a new process.
    """

    name: str
    environment: str
    make: str
    arguments: dict = dataclasses.field(default_factory=dict)
    fresh: bool = False

    def make_requests(self):
        """Returns the requests that make this peer and that run it."""
        module, function = self.make.split(":")
        make = {"module": module, "function": function, "arguments": self.arguments}
        return {"do": "make", "name": self.name, **make}, {"do": "run", "name": self.name}


class Bench:
    """The worker processes and the progress bar of one benchmark; a context manager.

    Args:
        progress: A started `rich.progress.Progress`.
        quick: Whether sections should be small.
    """

    def __init__(self, progress, quick):
        self.progress = progress
        self.quick = quick
        self._workers = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop_workers()

    def stop_workers(self):
        """Stops the long-lived processes; the next peer starts new ones."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()

    def take_turns(self, title, peers, repeats):
        """Makes all peers (compiled and warm), then runs each in turn, `repeats` times.

        Returns:
            A dictionary from the peer's name to the list of its results, one a repeat. A peer
            that fails has `{"error": message}` there.
        """
        results = {peer.name: [] for peer in peers}
        task = self.progress.add_task(title, total=len(peers) * (1 + repeats))
        for peer in peers:
            self._run_and_advance(
                task, f"{title}: preparing {peer.name}", lambda peer=peer: self._make(peer)
            )
        for _ in range(repeats):
            for peer in peers:
                ask = self._run_in_new_process if peer.fresh else self._run
                results[peer.name].append(
                    self._run_and_advance(
                        task, f"{title}: {peer.name}", lambda p=peer, ask=ask: ask(p)
                    )
                )
        for peer in peers:
            self._drop(peer)
        self.progress.remove_task(task)
        return results

    def _run_and_advance(self, task, description, work):
        self.progress.update(task, description=description)
        result = work()
        self.progress.advance(task)
        return result

    def _make(self, peer):
        if peer.fresh:
            return
        if peer.environment not in self._workers:
            self._workers[peer.environment] = _Worker(peer.environment)
        worker = self._workers[peer.environment]
        worker.made[peer.name] = worker.ask(peer.make_requests()[0])

    def _run(self, peer):
        worker = self._workers[peer.environment]
        if "error" in worker.made[peer.name]:
            return worker.made[peer.name]
        answer = worker.ask(peer.make_requests()[1])
        return answer.get("result", answer)

    def _run_in_new_process(self, peer):
        worker = _Worker(peer.environment)
        try:
            for request in peer.make_requests():
                answer = worker.ask(request)
                if "error" in answer:
                    return answer
            return answer["result"]
        finally:
            worker.stop()

    def _drop(self, peer):
        if not peer.fresh:
            self._workers[peer.environment].ask({"do": "drop", "name": peer.name})


class _Worker:
    """A process that runs `peers.worker`; its output goes to a file, quoted after a crash."""

    def __init__(self, environment):
        scripts = str(pathlib.Path(__file__).resolve().parent.parent)
        paths = [scripts, *filter(None, [os.environ.get("PYTHONPATH")])]
        inherited = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
        self.made = {}
        self._folder = tempfile.TemporaryDirectory()
        self._log = pathlib.Path(self._folder.name) / "stderr"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "peers.worker"],
                env={
                    **inherited,
                    "PYTHONPATH": os.pathsep.join(paths),
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    **ENVIRONMENTS[environment],
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, request):
        """Returns the answer: a dictionary with `result` or `error`."""
        if self._process.poll() is None:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            if line:
                return json.loads(line)
        return {"error": f"the process ended with {self._process.wait()}: {self._read_log_end()}"}

    def stop(self):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def _read_log_end(self):
        return self._log.read_text(errors="replace")[-500:]
