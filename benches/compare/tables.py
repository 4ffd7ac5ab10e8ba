"""Tables of noise schedules in vectorized numpy."""

import numpy as np

Array = np.ndarray


def linear(steps: int) -> Array:
    """Betas of Ho et al. 2020, scaled to any number of steps."""
    scale = 1000 / steps
    return np.linspace(scale * 1e-4, scale * 0.02, steps)


def cosine(steps: int) -> Array:
    """Betas of Nichol & Dhariwal 2021."""
    u = np.arange(steps + 1) / steps
    bars = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - bars[1:] / bars[:-1], 0.999)


def notebook(steps: int) -> tuple[Array, Array]:
    """Betas and their running product as the sprites notebook has them, in f32 where it matters."""
    i, stride = np.arange(steps + 1, dtype=np.float32), np.float32(1) / np.float32(steps)
    line = np.where(i < (steps + 1) // 2, stride * i, 1 - stride * (steps - i))
    betas = np.float32(0.02 - 1e-4) * line + np.float32(1e-4)
    logs = np.cumsum(np.log((1 - betas).astype(np.float64)))
    logs = np.where(np.abs(logs) < 4, logs, logs.astype(np.float32))
    return betas[1:].astype(np.float64), np.exp(logs)[1:]


def make(name: str) -> dict[str, Array]:
    """All tables of a schedule, by improved-diffusion's names."""
    kind, steps = name.split("_")
    if kind == "sprites":
        betas, bars = notebook(int(steps))
    else:
        betas = {"linear": linear, "cosine": cosine}[kind](int(steps))
        bars = np.cumprod(1 - betas)
    alphas, before = 1 - betas, np.append(1.0, bars[:-1])
    variance = betas * (1 - before) / (1 - bars)
    # For a true running product both forms of the mean are the same.
    if kind == "sprites":
        coef1 = betas * np.sqrt(bars / alphas) / (1 - bars)
        coef2 = (1 - bars - betas) / ((1 - bars) * np.sqrt(alphas))
    else:
        coef1 = betas * np.sqrt(before) / (1 - bars)
        coef2 = (1 - before) * np.sqrt(alphas) / (1 - bars)
    return {
        "betas": betas, "alphas_cumprod": bars, "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": np.sqrt(bars), "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - bars),
        "log_one_minus_alphas_cumprod": np.log(1 - bars), "sqrt_recip_alphas_cumprod": np.sqrt(1 / bars),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / bars - 1), "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.append(variance[1], variance[1:])),
        "posterior_mean_coef1": coef1, "posterior_mean_coef2": coef2,
    }
