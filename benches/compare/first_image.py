"""Time to the first image: the sprites network, one image in 25 steps, written as a PNG.

    python first_image.py sprites.safetensors THREADS out.png

It imports only what it needs; the PNG is written with zlib.
"""

import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/inkdrop-parity/online"))

import torch
from safetensors.torch import load_file
from torch import Tensor

from context import ContextUnet


def sample(model: ContextUnet) -> Tensor:
    """The notebook's sample_ddim of one image in 25 steps."""
    bars = (1 - ((0.02 - 1e-4) * torch.linspace(0, 1, 501) + 1e-4)).log().cumsum(0).exp()
    bars[0] = 1
    x, context = torch.randn(1, 3, 16, 16), torch.eye(5)[:1]
    for t in range(500, 0, -20):
        eps = model(x, torch.full((1,), t / 500), context)
        bar, before = bars[t], bars[t - 20]
        x0 = (x - (1 - bar).sqrt() * eps) / bar.sqrt()
        x = before.sqrt() * x0 + (1 - before).sqrt() * eps
    return x[0]


def png(image: Tensor) -> bytes:
    """An image [3, H, W] in [-1, 1] as a PNG file."""
    bytes_ = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    height, width, _ = bytes_.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in bytes_)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main() -> None:
    weights, threads, out = sys.argv[1:]
    torch.set_num_threads(int(threads))
    model = ContextUnet(3, 64, 5, 16)
    model.load_state_dict(load_file(weights), strict=True)
    model.eval()
    with torch.inference_mode():
        image = sample(model)
    Path(out).write_bytes(png(image))


if __name__ == "__main__":
    main()
