"""Where regions lie on the picture, as numbers that attention can read. There are two ways, for two uses.

`centre_sinusoids` are as wide as the features, fixed, and added to them as they are: position encodings, of the centre.
`corner_features` are few and meant for a learned map that brings them to any width: they tell large from small, too.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from common.attention.maps import Boxes, Grid
from common.attention.transformer import sinusoids

_OCTAVES = 4
CORNER_DIM = 8 * _OCTAVES


def centre_sinusoids(layout: Grid | Boxes, dim: int) -> Float[Tensor, "B R D"]:
    """`sinusoids` of 2 pi times the centre's x in the first half of the features and y in the second.

    As in Carion et al. 2020 (DETR); x and y are fractions of the picture.
    """
    corners = layout.rectangles()  # [B R 4]
    x, y = (math.pi * (corners[..., :2] + corners[..., 2:])).unbind(-1)
    return torch.cat([sinusoids(x, dim // 2), sinusoids(y, dim - dim // 2)], -1)


def corner_features(layout: Grid | Boxes) -> Float[Tensor, "B R P"]:
    """sin and cos of pi 2^o c for each corner coordinate c of each region and o = 0..3.

    A learned map of these is a position embedding for grids of any size and for boxes.
    """
    corners = layout.rectangles()  # [B R 4]
    angles = math.pi * corners.unsqueeze(-1) * 2 ** torch.arange(_OCTAVES, device=corners.device)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
