"""The Weights & Biases run of an experiment: offline where there is no account or network, all in the run's folder."""

from __future__ import annotations

import netrc
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from lightning.pytorch.loggers import WandbLogger

from common.files import writable_folder

SERVER = "https://api.wandb.ai"
PATIENCE = 3.0  # seconds to wait for the server; with a key but no network wandb itself would wait for 100


def experiment_logger(folder: Path, name: str, project: str = "saccade") -> WandbLogger:
    """A logger that writes within `folder` only and never asks for anything.

    WANDB_MODE is obeyed where it is set. Elsewhere the run is online if there is a key and the server answers, and
    offline otherwise, which one printed line says.

    Raises:
        DataError: the folder cannot be written to.
    """
    place = writable_folder(folder / "wandb")
    for variable in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        os.environ[variable] = str(folder if variable == "WANDB_DIR" else place)
    os.environ.setdefault("WANDB_SILENT", "true")  # its banner is longer than what we print ourselves
    if "WANDB_MODE" not in os.environ:
        reason = why_offline()
        if reason is not None:
            os.environ["WANDB_MODE"] = "offline"
            print(f"Weights & Biases: offline ({reason}); `wandb sync {place}/offline-run-*` uploads the run later")
    logger = WandbLogger(name=name, project=project, save_dir=folder, log_model=False)
    logger._wandb_init.pop("anonymous")  # Lightning always passes it on, and wandb warns of it
    return logger


def why_offline(patience: float = PATIENCE) -> str | None:
    """What keeps a run from being online, in words; None if nothing does."""
    server = os.environ.get("WANDB_BASE_URL", SERVER)
    if not has_key(server):
        return "no account; `wandb login` makes one known"
    return None if _answers(server, patience) else f"{server} does not answer"


def has_key(server: str) -> bool:
    """Whether a key is in the environment or in the netrc file, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    places = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for place in places:
        try:
            if netrc.netrc(Path(place).expanduser()).authenticators(urlsplit(server).netloc):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _answers(server: str, patience: float) -> bool:
    """Whether the server says anything at all within `patience` seconds."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(server, timeout=patience).close()
        except urllib.error.HTTPError:
            pass  # an answer, too
        except OSError:
            return
        answered.set()

    # In a thread, because looking a name up knows no timeout.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return answered.is_set()
