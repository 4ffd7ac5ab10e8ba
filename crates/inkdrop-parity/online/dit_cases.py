"""Golden cases of DiT from diffusers' DiTTransformer2DModel: python dit_cases.py FOLDER.

The weights are renamed to those of facebookresearch/DiT. There all blocks share one embedding of timestep and class,
whose frequencies end one step later than diffusers' (downscale_freq_shift 0).
"""

import json
import pathlib
import sys

import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.embeddings import Timesteps
from safetensors.torch import save_file

BLOCK = {  # ours: diffusers'
    "attn.proj": "attn1.to_out.0",
    "mlp.fc1": "ff.net.0.proj",
    "mlp.fc2": "ff.net.2",
    "adaLN_modulation.1": "norm1.linear",
}
OUTSIDE = {
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "proj_out_1",
    "final_layer.linear": "proj_out_2",
}
EMBEDDING = {
    "t_embedder.mlp.0": "timestep_embedder.linear_1",
    "t_embedder.mlp.2": "timestep_embedder.linear_2",
    "y_embedder.embedding_table": "class_embedder.embedding_table",
}


def network(config):
    width, heads, channels = config["hidden_size"], config["num_heads"], config["in_channels"]
    made = DiTTransformer2DModel(
        num_attention_heads=heads, attention_head_dim=width // heads, in_channels=channels,
        out_channels=channels * (2 if config["learn_sigma"] else 1), num_layers=config["depth"],
        patch_size=config["patch_size"], sample_size=config["input_size"], norm_eps=1e-6,
        num_embeds_ada_norm=config["num_classes"], attention_bias=True, dropout=0.0,
        activation_fn="gelu-approximate", norm_type="ada_norm_zero", norm_elementwise_affine=False)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.08)
    first = made.transformer_blocks[0].norm1.emb.state_dict()
    for block in made.transformer_blocks:
        block.norm1.emb.load_state_dict(first)
        block.norm1.emb.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
    return made.eval()


def renamed(theirs, depth, embedding):
    """Tensors by our names; `embedding` joins those of the copies in the blocks."""
    ours = {}
    for end in ["weight", "bias"]:
        for name, other in OUTSIDE.items():
            ours[f"{name}.{end}"] = theirs[f"{other}.{end}"]
        for number in range(depth):
            inside = f"transformer_blocks.{number}."
            parts = [theirs[f"{inside}attn1.to_{part}.{end}"] for part in "qkv"]
            ours[f"blocks.{number}.attn.qkv.{end}"] = torch.cat(parts)
            for name, other in BLOCK.items():
                ours[f"blocks.{number}.{name}.{end}"] = theirs[f"{inside}{other}.{end}"]
        for name, other in EMBEDDING.items():
            keys = [f"transformer_blocks.{n}.norm1.emb.{other}.{end}" for n in range(depth)]
            if keys[0] in theirs:
                ours[f"{name}.{end}"] = embedding([theirs[key] for key in keys])
    return ours


def case(folder, name, **config):
    made, size, depth = network(config), config["input_size"], config["depth"]
    weights = renamed(made.state_dict(), depth, lambda copies: copies[0])
    weights["pos_embed"] = made.pos_embed.pos_embed
    classes = config["num_classes"]
    x = torch.randn(3, config["in_channels"], size, size)
    t, y = torch.tensor([0, 417, 999]), torch.tensor([1, classes - 1, classes])
    out = made(x, timestep=t, class_labels=y).sample
    probe = torch.randn_like(out)
    (out * probe).sum().backward()
    gradients = {key: value.grad for key, value in made.named_parameters() if value.grad is not None}
    gradients = renamed(gradients, depth, sum)
    double = made.double()(x.double(), timestep=t, class_labels=y).sample
    tensors = {f"weight:{key}": value.float() for key, value in weights.items()}
    tensors |= {f"grad:{key}": value for key, value in gradients.items()}
    tensors |= {"x": x, "t": t, "y": y, "out": out, "probe": probe}
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    apart = (double - out).abs().max().item()
    about = {"kind": "unet", "family": "dit", "config": json.dumps(config), "f64_out_max_abs_diff": str(apart)}
    save_file(tensors, folder / f"{name}.safetensors", about)


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    case(folder, "dit_pixels", input_size=16, patch_size=4, in_channels=3, hidden_size=32, depth=2, num_heads=2,
         num_classes=5, learn_sigma=False)
    case(folder, "dit_learned", input_size=8, patch_size=2, in_channels=4, hidden_size=24, depth=2, num_heads=3,
         num_classes=10, learn_sigma=True)


main()
