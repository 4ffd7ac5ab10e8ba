"""Generates the small committed fixtures that do not come from the PyTorch programs themselves.

`fixtures.py --out crates/inkdrop-parity/fixtures` writes them again. The `unet2d` cases come from the diffusers
package, the others from these modules, which verify.py checks against the golden cases.
"""

import argparse
import random
from pathlib import Path

import torch

import make
import models
from case import Case
from draw import noise
from draw_unet2d import written

ATTENDED = {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}
LAST_OF_THREE = {"down_block_types": ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
                 "up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"]}

UNET2D = {
    # As the published CIFAR-10 model, but for its width.
    "unet2d_cifar": ({"block_out_channels": [12, 12], **ATTENDED, "layers_per_block": 1, "norm_num_groups": 4,
                      "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6,
                      "attention_head_dim": None, "sample_size": 16}, (16, 16)),
    # As the published CelebA-HQ model, but for its width and depth.
    "unet2d_celebahq": ({"block_out_channels": [8, 8, 8], **LAST_OF_THREE, "layers_per_block": 2,
                         "norm_num_groups": 4, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1,
                         "norm_eps": 1e-6, "attention_head_dim": None, "sample_size": 16}, (16, 16)),
    "unet2d_flip": ({"block_out_channels": [9, 15], **ATTENDED, "layers_per_block": 1, "norm_num_groups": 3,
                     "attention_head_dim": 3, "flip_sin_to_cos": True, "freq_shift": 0, "act_fn": "mish",
                     "mid_block_scale_factor": 2 ** 0.5, "center_input_sample": True}, (12, 16)),
    "unet2d_classes": ({"block_out_channels": [12, 12], **ATTENDED, "layers_per_block": 1, "norm_num_groups": 4,
                        "num_class_embeds": 7, "attention_head_dim": 4, "act_fn": "gelu", "add_attention": False,
                        "in_channels": 1, "out_channels": 2}, (8, 8)),
    "unet2d_scale_shift": ({"block_out_channels": [8, 16], **ATTENDED, "layers_per_block": 1, "norm_num_groups": 4,
                            "resnet_time_scale_shift": "scale_shift", "dropout": 0.1, "act_fn": "relu"}, (8, 16)),
    "unet2d_pad": ({"block_out_channels": [6, 9, 9], **LAST_OF_THREE, "layers_per_block": 1, "norm_num_groups": 3,
                    "attention_head_dim": 4, "downsample_padding": 0, "attn_norm_num_groups": 1}, (12, 20)),
}

GUIDED = {"out_channels": 6, "in_channels": 3, "num_res_blocks": 1, "model_channels": 16, "channel_mult": [2, 2],
          "use_scale_shift_norm": True, "resblock_updown": True}
DDPM = {"img_channels": 3, "base_channels": 8, "channel_mults": [1, 2], "num_res_blocks": 1, "time_emb_dim": 24,
        "activation": "silu", "attention_resolutions": [1], "num_groups": 4}

OURS = {
    "improved_guided_2d": ("improved", GUIDED | {"attention_resolutions": [2], "num_head_channels": 8,
                                                 "use_new_attention_order": True, "num_classes": 5}, (8, 12)),
    "improved_guided_1d": ("improved", GUIDED | {"attention_resolutions": [], "num_heads": 4, "dims": 1, "dropout": 0.1,
                                                 "channel_mult": [4], "use_scale_shift_norm": False}, (16,)),
    "ddpm_small_classes": ("ddpm", DDPM | {"num_classes": 10, "activation": "relu"}, (8, 8)),
    "ddpm_small_no_time": ("ddpm", DDPM | {"time_emb_dim": None, "activation": "relu"}, (8, 12)),
    "ddpm_small_norm_bn": ("ddpm", DDPM | {"norm": "bn"}, (8, 8)),
    "ddpm_small_norm_in": ("ddpm", DDPM | {"norm": "in", "activation": "mish"}, (8, 8)),
    "ddpm_small_norm_none": ("ddpm", DDPM | {"norm": "none", "base_channels": 6, "time_emb_scale": 0.5}, (8, 8)),
    "ddpm_small_pad": ("ddpm", DDPM | {"initial_pad": 1, "img_channels": 1}, (10, 6)),
}


def make_case(name: str, family: str, config: dict, size: tuple[int, ...]) -> Case:
    """The case of this name; its name is its seed."""
    dice = random.Random(name)
    channels = config.get("img_channels") or config["in_channels"]
    tensors = {"x": noise(dice, 2, channels, *size)}
    if config.get("time_emb_dim", 0) is not None or family != "ddpm":
        fraction = 0.25 if config.get("dims") == 1 else 0
        tensors["t"] = torch.tensor([dice.randrange(1000) + fraction for _ in range(2)])
    if (classes := config.get("num_classes") or config.get("num_class_embeds")):
        tensors["y"] = torch.tensor([dice.randrange(classes) for _ in range(2)])
    source = "diffusers UNet2DModel" if family == "unet2d" else "crates/inkdrop-parity/online"
    case = Case(name, "unet", family, config, tensors, {"source": source})
    model = models.build(family, config)
    make.randomise(model, torch.Generator().manual_seed(dice.getrandbits(31)))
    make.fill(case, model, dice, most=1_200)
    if config.get("dims") == 1:
        with torch.no_grad():
            tensors |= models.features(model, tensors)
    return case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the cases")
    out = parser.parse_args().out
    for name, (config, size) in UNET2D.items():
        make_case(name, "unet2d", written(config), size).save(out)
    for name, (family, config, size) in OURS.items():
        make_case(name, family, config, size).save(out)


if __name__ == "__main__":
    main()
