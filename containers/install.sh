#!/usr/bin/env bash
# Installs what the image has. Dockerfile and glow.def both run this, so that the two cannot differ.
# Environment: the lines of pins.env; VIRTUAL_ENV, where the Python environment goes.
set -euo pipefail
for name in CUDA PYTHON SETUPTOOLS FLASH_ATTN EXTRAS VIRTUAL_ENV; do
  if [ -z "${!name+set}" ]; then
    echo "$name is not set: give the lines of containers/pins.env as build arguments" >&2
    exit 2
  fi
done
cd "${BASH_SOURCE[0]%/*}/.."
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1

# A compiler and Python's headers stay: Triton, vLLM and DeepSpeed compile when they run. git names the commit of the
# checkout in manifests.
apt-get update
apt-get install --yes --no-install-recommends build-essential ca-certificates git \
  "python$PYTHON" "python$PYTHON-dev" "python$PYTHON-venv"
rm -rf /var/lib/apt/lists/*

# Editable: a checkout that is mounted here takes the place of the copy in the image. Docker copies src only later.
mkdir -p src/glow
"python$PYTHON" -m venv "$VIRTUAL_ENV"
"$VIRTUAL_ENV/bin/pip" install -c constraints.txt -e ".[$EXTRAS]" "setuptools==$SETUPTOOLS"

# The compiler has to be of the CUDA that torch was built with.
built=$("$VIRTUAL_ENV/bin/python" -c 'import torch; print(torch.version.cuda)')
case $CUDA in
  "$built".*) ;;
  *) echo "torch is built for CUDA $built, and the image has $CUDA (containers/pins.env)" >&2; exit 1 ;;
esac

# Its setup.py takes as many jobs as cores and memory allow, unless MAX_JOBS says otherwise.
if [ -n "$FLASH_ATTN" ]; then
  FLASH_ATTENTION_FORCE_BUILD=TRUE \
    "$VIRTUAL_ENV/bin/pip" install -c constraints.txt --no-build-isolation "flash-attn==$FLASH_ATTN"
fi

case ",$EXTRAS," in
  *,ifeval,*) "$VIRTUAL_ENV/bin/python" -m nltk.downloader -d /usr/share/nltk_data punkt_tab ;;
esac
