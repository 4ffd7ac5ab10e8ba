"""Images per second of `inkdrop serve` with 16 clients, beside those of `inkdrop sample`.

Usage: load.py INKDROP [MODEL [STEPS]]: paired runs, alternating; 4 images per request.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

INKDROP = sys.argv[1]
MODEL = sys.argv[2] if len(sys.argv) > 2 else "sprites"
STEPS = sys.argv[3] if len(sys.argv) > 3 else "25"
CLIENTS, EACH, REQUESTS, PAIRS = 16, 4, 8, 5
IMAGES = CLIENTS * EACH * REQUESTS


def sampled(folder):
    """Seconds of the batch sampler, without opening the model: the difference of two runs."""
    def run(count):
        out = f"{folder}/{count}.npz"
        start = time.perf_counter()
        subprocess.run([INKDROP, "sample", MODEL, "-n", str(count), "--steps", STEPS, "--out", out], check=True, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        subprocess.run(["rm", out], check=True)
        return seconds
    return run(IMAGES + 64) - run(64)


def served(url, token):
    def client(number):
        for request in range(REQUESTS):
            body = {"n": EACH, "seed": 1000 * number + request, "steps": int(STEPS)}
            post = urllib.request.Request(f"{url}/v1/images/generations", json.dumps(body).encode(), {"Authorization": f"Bearer {token}"})
            assert len(json.load(urllib.request.urlopen(post, timeout=300))["data"]) == EACH
    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    start = time.perf_counter()
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    return time.perf_counter() - start


def main():
    server = subprocess.Popen([INKDROP, "serve", MODEL, "--port", "0", "--token", "t"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    url = server.stdout.readline().split("/#")[0]
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        served(url, "t")
        for _ in range(PAIRS):
            batch, server_time = sampled(folder), served(url, "t")
            ratios.append(batch / server_time)
            print(f"sample {IMAGES / batch:.1f} images/s, serve {IMAGES / server_time:.1f}, ratio {ratios[-1]:.3f}")
    server.terminate()
    print(f"median ratio {statistics.median(ratios):.3f} of {PAIRS} pairs")


main()
