"""Golden cases of DiT from diffusers' DiTTransformer2DModel, and of JiT: python dit_cases.py FOLDER.

The weights of DiT are renamed to those of facebookresearch/DiT. There all blocks share one embedding of timestep and
class, whose frequencies end one step later than diffusers' (downscale_freq_shift 0). JiT (Li & He 2025) is written
here as functions of PyTorch's layers: RMSNorm, complex numbers for the rotary positions, explicit attention.
"""

import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
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
    save(folder, name, ("dit", config), (weights, gradients), {"x": x, "t": t, "y": y, "out": out, "probe": probe}, double)


def save(folder, name, network, values, tensors, double):
    (family, config), (weights, gradients) = network, values
    out = tensors["out"]
    tensors |= {f"weight:{key}": value.float() for key, value in weights.items()}
    tensors |= {f"grad:{key}": value for key, value in gradients.items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    apart = (double - out).abs().max().item()
    about = {"kind": "unet", "family": family, "config": json.dumps(config), "f64_out_max_abs_diff": str(apart)}
    save_file(tensors, folder / f"{name}.safetensors", about)


def jit_shapes(config):
    """Shapes of the weights by name."""
    width, channels, patch = config["hidden_size"], config["in_channels"], config["patch_size"]
    head, narrow = width // config["num_heads"], config["bottleneck_dim"]
    inner = int(width * config["mlp_ratio"]) * 2 // 3
    linear = {"t_embedder.mlp.0": (width, 256), "t_embedder.mlp.2": (width, width),
              "final_layer.linear": (patch * patch * channels, width),
              "final_layer.adaLN_modulation.1": (2 * width, width)}
    norms = {"final_layer.norm_final": width}
    for block in (f"blocks.{number}" for number in range(config["depth"])):
        linear |= {f"{block}.attn.qkv": (3 * width, width), f"{block}.attn.proj": (width, width),
                   f"{block}.mlp.w12": (2 * inner, width), f"{block}.mlp.w3": (width, inner),
                   f"{block}.adaLN_modulation.1": (6 * width, width)}
        norms |= {f"{block}.norm1": width, f"{block}.norm2": width,
                  f"{block}.attn.q_norm": head, f"{block}.attn.k_norm": head}
    shapes = {f"{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    shapes |= {f"{name}.weight": (length,) for name, length in norms.items()}
    shapes |= {"x_embedder.proj1.weight": (narrow, channels, patch, patch),
               "x_embedder.proj2.weight": (width, narrow, 1, 1), "x_embedder.proj2.bias": (width,),
               "y_embedder.embedding_table.weight": (config["num_classes"] + 1, width),
               "in_context_posemb": (1, config["in_context_len"], width)}
    return shapes


def sinusoids(width, grid):
    """Fixed positions [1, grid², width]: the column in the first half, the row in the second."""
    angles = torch.outer(torch.arange(grid, dtype=torch.float64), 10000 ** -(torch.arange(width // 4) / (width / 4)).double())
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    places = [torch.cat([axis[column], axis[row]]) for row in range(grid) for column in range(grid)]
    return torch.stack(places)[None]


def rotations(head, grid, before):
    """Unit complex numbers [tokens, head/2]: the row's in the first half, the column's in the second."""
    frequencies = 10000 ** -(torch.arange(0, head // 2, 2).double() / (head // 2))
    places = [torch.cat([row * frequencies, column * frequencies]) for row in range(grid) for column in range(grid)]
    angles = torch.cat([torch.zeros(before, head // 2, dtype=torch.float64), torch.stack(places)])
    return torch.polar(torch.ones_like(angles), angles)


def rotated(x, turns):
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
    return torch.view_as_real(pairs * turns.to(pairs.dtype)).reshape(x.shape)


def jit(w, config, x, t, y):
    """JiT's output, [B, C, H, W]; w holds the weights by name."""
    width, heads, patch = config["hidden_size"], config["num_heads"], config["patch_size"]
    head, grid, length = width // heads, config["input_size"] // patch, config["in_context_len"]

    def linear(name, h):
        return F.linear(h, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, h):
        return F.rms_norm(h, h.shape[-1:], w[f"{name}.weight"], 1e-6)

    def attention(name, h, turns):
        q, k, v = linear(f"{name}.qkv", h).unflatten(-1, (3, heads, head)).permute(2, 0, 3, 1, 4)
        q, k = (rotated(norm(f"{name}.{key}", part), turns) for key, part in [("q_norm", q), ("k_norm", k)])
        weights = (q @ k.mT / math.sqrt(head)).softmax(-1)
        return linear(f"{name}.proj", (weights @ v).transpose(1, 2).flatten(2))

    angles = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / 128)
    angles = torch.cat([angles.cos(), angles.sin()], 1).to(x.dtype)
    label = w["y_embedder.embedding_table.weight"][y]
    c = F.silu(linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", angles))) + label)
    h = F.conv2d(F.conv2d(x, w["x_embedder.proj1.weight"], stride=patch), w["x_embedder.proj2.weight"], w["x_embedder.proj2.bias"])
    h = h.flatten(2).mT + w["pos_embed"]
    turns = rotations(head, grid, 0)
    for number in range(config["depth"]):
        if number == config["in_context_start"]:
            h = torch.cat([label[:, None] + w["in_context_posemb"], h], 1)
            turns = rotations(head, grid, length)
        block = f"blocks.{number}"
        a, b, gate, a2, b2, gate2 = linear(f"{block}.adaLN_modulation.1", c)[:, None].chunk(6, -1)
        h = h + gate * attention(f"{block}.attn", norm(f"{block}.norm1", h) * (1 + b) + a, turns)
        one, two = linear(f"{block}.mlp.w12", norm(f"{block}.norm2", h) * (1 + b2) + a2).chunk(2, -1)
        h = h + gate2 * linear(f"{block}.mlp.w3", F.silu(one) * two)
    shift, scale = linear("final_layer.adaLN_modulation.1", c)[:, None].chunk(2, -1)
    h = linear("final_layer.linear", norm("final_layer.norm_final", h[:, length:]) * (1 + scale) + shift)
    h = h.reshape(len(x), grid, grid, patch, patch, -1)
    return torch.einsum("nhwpqc->nchpwq", h).reshape(x.shape)


def jit_case(folder, name, **config):
    norms = ["norm1.weight", "norm2.weight", "q_norm.weight", "k_norm.weight", "norm_final.weight"]
    weights = {key: torch.randn(shape) * 0.08 for key, shape in jit_shapes(config).items()}
    weights = {key: value + any(key.endswith(norm) for norm in norms) for key, value in weights.items()}
    size, classes = config["input_size"], config["num_classes"]
    weights["pos_embed"] = sinusoids(config["hidden_size"], size // config["patch_size"]).float()
    trained = {key: value.requires_grad_() for key, value in weights.items() if key != "pos_embed"}
    x = torch.randn(3, config["in_channels"], size, size)
    t, y = torch.tensor([0, 417, 999]), torch.tensor([1, classes - 1, classes])
    out = jit(weights, config, x, t, y)
    probe = torch.randn_like(out)
    (out * probe).sum().backward()
    double = jit({key: value.double() for key, value in weights.items()}, config, x.double(), t, y)
    gradients = {key: value.grad for key, value in trained.items()}
    tensors = {"x": x, "t": t, "y": y, "out": out, "probe": probe}
    save(folder, name, ("jit", config), (weights, gradients), tensors, double)


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(0)
    case(folder, "dit_pixels", input_size=16, patch_size=4, in_channels=3, hidden_size=32, depth=2, num_heads=2,
         num_classes=5, learn_sigma=False)
    case(folder, "dit_learned", input_size=8, patch_size=2, in_channels=4, hidden_size=24, depth=2, num_heads=3,
         num_classes=10, learn_sigma=True)
    torch.manual_seed(1)
    jit_case(folder, "jit_pixels", input_size=16, patch_size=4, in_channels=3, hidden_size=32, depth=3, num_heads=2,
             mlp_ratio=4.0, num_classes=5, bottleneck_dim=6, in_context_len=3, in_context_start=1)


main()
