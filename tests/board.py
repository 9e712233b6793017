"""TensorBoard's own server application, without a port: what several test files read back."""

import json

from tensorboard import program
from werkzeug.test import Client


class _Captured:
    """Takes the application in place of a server on a port."""

    def __init__(self, app, flags):
        _Captured.app = app

    def serve_forever(self):
        pass

    def get_url(self):
        return ""


def open_board(folder):
    """Returns a client of TensorBoard's application, which has read a folder."""
    board = program.TensorBoard(server_class=_Captured)
    flags = ["--load_fast=false", "--reload_interval=0", "--reload_task=blocking"]
    board.configure(argv=["tensorboard", f"--logdir={folder}", *flags])
    board.launch()
    return Client(_Captured.app)


def get(client, path):
    return json.loads(client.get(f"/data/plugin/{path}").data)


def list_sessions(client):
    """Returns the sessions of the HParams page, each with its settings and its numbers."""
    experiment = get(client, "hparams/experiment?request=%7B%7D")
    infos = [{"metric": own["name"]} for own in experiment["metricInfos"]]
    words = {"startIndex": 0, "sliceSize": 9, "allowedStatuses": ["STATUS_SUCCESS"]}
    request = json.dumps({**words, "colParams": infos})
    groups = get(client, f"hparams/session_groups?request={request}")["sessionGroups"]
    found = []
    for group in groups:
        (session,) = group["sessions"]
        values = {one["name"]["tag"]: one["value"] for one in session["metricValues"]}
        found.append({"hparams": group["hparams"], "status": session["status"], "values": values})
    return found
