"""What all tests share: shapes checked at every call, one seed, one thread, no network, no account."""

import os

os.environ.update(OMP_NUM_THREADS="1", WANDB_MODE="disabled", HF_HUB_OFFLINE="1", MPLBACKEND="Agg")

from jaxtyping import install_import_hook

# Before anything of ours is imported; only here, because a check costs some 25 us a call and breaks torch.compile.
# The "numeric tower": as everywhere in Python, an int may stand where a float is annotated.
# `Self` means nothing to a checker that sees one method at a time, so it may be anything.
CHECKED = (
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True,"
    " hint_overrides=beartype.FrozenDict({__import__('typing_extensions').Self: object})))"
)
install_import_hook(["common", "captioning", "vqa"], CHECKED)

import random
import signal
import socket
from typing import Any

import numpy as np
import pytest
import torch

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores Ctrl-C


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries draw from the global generator)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to another machine fails at once, as with the network away."""
    connect = socket.socket.connect

    def connect_locally(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"the tests may not use the network (connecting to {address[0]})")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder for `SceneCaptions` and `SceneQuestions`, in which the level "tiny" is drawn."""
    from common.data.scenes import TINY, write_scenes

    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder / "tiny", TINY, workers=1)
    return str(folder)
