"""Reference kernels for training steps: dense likelihood and bare matrix products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.shared.timing import device
from multiDGD.nn import Counts


def random_counts(n: int, f: int, density: float, seed: int = 0) -> Counts:
    """Random counts, shape ``(n, f)``; ``density`` is the fraction of non-zeros."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, f, generator=generator) < density).float()
    x *= torch.poisson(torch.full((n, f), 1.5), generator).clamp(min=1)
    return Counts.from_dense(x.to(device()))


def dense_log_prob(logits_nf: Tensor, x_nf: Tensor, library_n: Tensor, log_r_f: Tensor) -> Tensor:
    """Negative binomial log-likelihood of scvi-tools (``log_nb_positive``), summed over features."""
    eps = 1e-8
    r = 1 + log_r_f.exp()
    mean = library_n[:, None] * logits_nf.softmax(-1)
    log_sum = torch.log(r + mean + eps)
    value_nf = (
        r * (torch.log(r + eps) - log_sum)
        + x_nf * (torch.log(mean + eps) - log_sum)
        + torch.lgamma(x_nf + r)
        - torch.lgamma(r)
        - torch.lgamma(x_nf + 1)
    )
    return value_nf.sum(-1)


def bare_products(decoder: nn.Module, n: int) -> Callable[[], None]:
    """Matrix products of a decoder for ``n`` cells, in preallocated memory.

    Each layer has three: its output, and the gradients with respect to its input and its weights.
    """
    work = []
    for layer in decoder.modules():
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().to(device())
            x = torch.randn(n, weight.shape[1], device=device())
            out = torch.randn(n, weight.shape[0], device=device())
            work.append((x, weight, out, torch.empty_like(x), torch.empty_like(weight)))

    def run() -> None:
        for x, weight, out, by_input, by_weight in work:
            torch.mm(x, weight.t(), out=out)
            torch.mm(out, weight, out=by_input)
            torch.mm(out.t(), x, out=by_weight)

    return run
