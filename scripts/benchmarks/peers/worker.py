"""One process in which peers live: reads requests from standard input, answers in JSON lines.

`turns.py` starts it as `python -m peers.worker`. Between requests it waits and uses no core.
A peer is a function without arguments that returns `{"samples": [...], ...}`; a module of this
folder makes it.
"""

import gc
import importlib
import json
import os
import sys
import traceback
import warnings


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a framework's output must not mix with the answers
    warnings.simplefilter("ignore")
    peers = {}
    for line in sys.stdin:
        try:
            answer = {"result": _answer(peers, json.loads(line))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def _answer(peers, request):
    name = request["name"]
    if request["do"] == "make":
        module = importlib.import_module(f"peers.{request['module']}")
        peers[name] = getattr(module, request["function"])(**request["arguments"])
        return None
    if request["do"] == "drop":
        peers.pop(name, None)
        gc.collect()
        return None
    gc.collect()
    return peers[name]()


if __name__ == "__main__":
    main()
