"""What may leave this machine: nothing, but for stages that fetch and for where training is logged to.

The libraries would report their use, count downloads, and ask their hosts whether files are the newest. They
read these variables when they are imported, which is later.
"""

import os

_NO_REPORTS = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
OFFLINE = {
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""What switches the Hugging Face libraries' hosts off."""


def stay_here(may_ask: bool) -> None:
    """Keep the libraries of this process, and of those that it starts, from the network.

    Args:
        may_ask: whether this process fetches, or logs to somewhere else: then reports of use alone are
            switched off.
    """
    os.environ.update(_NO_REPORTS if may_ask else _NO_REPORTS | OFFLINE)
