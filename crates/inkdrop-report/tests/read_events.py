"""Does TensorBoard read what the example write_events wrote? `cargo xtask tensorboard` runs this.

python read_events.py FOLDER, with the package tensorboard: once with the reader of its Python
backend, once through the program itself, with the reader that it prefers.
"""

import json
import math
import socket
import subprocess
import sys
import time
import urllib.request

from tensorboard import version
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

EXPECTED = [(step, 1 / step) for step in range(1, 61)] + [(step, -1.0) for step in range(61, 81)]


def check(what, given, expected):
    assert given == expected, f"{what}: {given}, expected {expected}"
    print(f"ok: {what}")


def near(points):
    return len(points) == len(EXPECTED) and all(
        step == wanted and math.isclose(value, to, rel_tol=1e-6)
        for (step, value), (wanted, to) in zip(points, EXPECTED)
    )


def accumulator(folder):
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.purge_orphaned_data = True
    events.Reload()
    tags = events.Tags()
    check("scalar tags", sorted(tags["scalars"]), ["train/grad_norm", "train/loss"])
    check("image tags", tags["images"], ["samples"])
    loss = [(event.step, event.value) for event in events.Scalars("train/loss")]
    check("scalars, those that a restart took back left out", near(loss), True)
    check("NaN", math.isnan(events.Scalars("train/grad_norm")[0].value), True)
    images = events.Images("samples")
    check("images", [(image.step, image.width, image.height) for image in images], [(50, 1, 1)])
    (text,) = events.Tensors("config")
    check("text", tensor_util.make_ndarray(text.tensor_proto).tolist(), [b"```\nlr = 1e-3\n```"])
    check("text plugin", events.SummaryMetadata("config").plugin_data.plugin_name, "text")


def program(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path):
        url = f"http://127.0.0.1:{port}/data/plugin/{path}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return json.load(answer)

    try:
        for _ in range(120):
            try:
                if ask("scalars/tags"):
                    break
            except OSError:
                pass
            time.sleep(0.5)
        check("curves shown", sorted(ask("scalars/tags")["."]), ["train/grad_norm", "train/loss"])
        points = ask("scalars/scalars?run=.&tag=train%2Floss")
        check("points shown", near([(step, value) for _, step, value in points]), True)
        check("pictures shown", list(ask("images/tags")["."]), ["samples"])
        check("texts shown", ask("text/tags")["."], ["config"])
    finally:
        server.terminate()
        server.wait()


print(f"TensorBoard {version.VERSION}")
accumulator(sys.argv[1])
program(sys.argv[1])
