"""Makes the pictures of this folder, and Pillow's pixels of each as NAME.answer.png.

    python make.py          # Pillow 13 (libjpeg-turbo 3.2), numpy; cjpeg of libjpeg-turbo-progs in PATH

JPEG files of one sampling have the same coefficients, and so one answer: SAMPLING.answer.png.
"""
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
y, x = np.mgrid[0:17, 0:23]
rng = np.random.default_rng(0)
waves = [127 + 90 * np.sin(x / 3 + y / 5), 127 + 100 * np.cos(x / 4 - y / 3), 127 + 110 * np.sin((x + y) / 4)]
rgb = np.stack(waves, -1) + rng.normal(0, 12, (17, 23, 1))
rgb[5:9, 6:12] = [255, 0, 0]
RGB = Image.fromarray(np.clip(rgb, 0, 255).astype("uint8"))
ALPHA = np.clip(40 * np.hypot(x - 11, y - 8) - 60, 0, 255).astype("uint8")
RGBA = Image.fromarray(np.dstack([np.asarray(RGB), ALPHA]))


def answer(name, picture):
    picture.convert("RGB").save(HERE / f"{name}.answer.png", optimize=True)


def jpegs():
    RGB.save("/tmp/make.ppm")
    Path("/tmp/make.scans").write_text("0;\n1;\n2;\n")
    samplings = {"444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "410": "4x2", "mixed": "2x2,1x2,2x1"}
    kinds = {"base": [], "scans": ["-scans", "/tmp/make.scans"], "progressive": ["-progressive"],
             "scans_restart": ["-scans", "/tmp/make.scans", "-restart", "2B"]}
    for sampling, factors in samplings.items():
        for kind, options in kinds.items():
            file = HERE / f"{kind}_{sampling}.jpg"
            subprocess.run(["cjpeg", "-quality", "85", "-sample", factors, *options, "-outfile", file, "/tmp/make.ppm"], check=True)
        answer(sampling, Image.open(file))
    RGB.convert("CMYK").save(HERE / "cmyk.jpg", quality=85)
    answer("cmyk", Image.open(HERE / "cmyk.jpg"))
    # The same data, said to be YCCK by Adobe's segment.
    data = bytearray((HERE / "cmyk.jpg").read_bytes())
    data[data.index(b"Adobe") + 11] = 2
    (HERE / "ycck.jpg").write_bytes(data)
    answer("ycck", Image.open(HERE / "ycck.jpg"))


def others():
    RGB.save(HERE / "lossy.webp", quality=80)
    answer("lossy.webp", Image.open(HERE / "lossy.webp"))
    RGB.save(HERE / "lossless.webp", lossless=True)
    RGBA.save(HERE / "alpha.webp", lossless=True, exact=True)
    RGB.save(HERE / "animated.webp", lossless=True, save_all=True, append_images=[ImageOps.invert(RGB)], duration=100)
    RGB.save(HERE / "rgb.bmp")
    RGB.quantize(16).save(HERE / "palette.bmp")
    answer("palette.bmp", Image.open(HERE / "palette.bmp"))
    RGB.convert("1").save(HERE / "bits.bmp")
    answer("bits.bmp", Image.open(HERE / "bits.bmp"))
    for compression in ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]:
        RGB.save(HERE / f"{compression}.tif", compression=compression)
    RGB.quantize(16).save(HERE / "palette.tif", compression="tiff_lzw")
    answer("palette.tif", Image.open(HERE / "palette.tif"))
    RGB.save(HERE / "pages.tiff", save_all=True, append_images=[ImageOps.invert(RGB)])
    RGB.save(HERE / "colours.qoi")
    answer("rgb", RGB)
    deep = (np.arange(23 * 17, dtype=np.uint16) * 167 + 128).reshape(17, 23)
    Image.fromarray(deep).save(HERE / "deep.tif")
    answer("deep.tif", Image.fromarray(((deep.astype(int) + 128) // 257).astype("uint8")))
    white = Image.new("RGB", RGB.size, "white")
    answer("on_white", Image.composite(RGB, white, Image.fromarray(ALPHA)))
    RGBA.save(HERE / "alpha.png", optimize=True)


def turned():
    """Each kind of file with an orientation; upright they are all the same."""
    for value in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        RGB.save(HERE / f"turned_{value}.png", exif=exif, optimize=True)
        answer(f"turned_{value}", ImageOps.exif_transpose(Image.open(HERE / f"turned_{value}.png")))
    exif = Image.Exif()
    exif[0x0112] = 6
    RGB.save(HERE / "turned_6.webp", exif=exif, lossless=True)
    RGB.save(HERE / "turned_6.tif", exif=exif)
    RGB.save(HERE / "turned_6.jpg", exif=exif, quality=100, subsampling=0)
    answer("turned_6.jpg", ImageOps.exif_transpose(Image.open(HERE / "turned_6.jpg")))


jpegs()
others()
turned()
