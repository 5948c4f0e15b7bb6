#!/bin/sh
# Installs the locked packages into .venv of the current folder: install.sh cuda|cpu [further options of 'uv sync']
# cuda: as locked; the torch wheels of PyPI need their CUDA libraries even on a machine without a GPU.
# cpu:  the same versions, torch and torchvision from PyTorch's index of CPU builds, which have no CUDA libraries.
set -eu
TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
variant=$1
shift

of_the_service() { # uv sync or uv export, with the packages that both images need
    command=$1
    shift
    uv "$command" --locked --no-dev --extra demo --extra postgres --extra tracing "$@"
}

locked() { # one NAME==VERSION a line
    of_the_service export --no-emit-project --no-hashes --no-annotate --no-header --quiet | sed 's/ *;.*//'
}

case $variant in
    cuda)
        of_the_service sync "$@"
        ;;
    cpu)
        for package in $(locked | grep -E '^(torch|torchvision|triton|cuda-|nvidia-)' | sed 's/[=[].*//'); do
            set -- "$@" --no-install-package "$package"
        done
        of_the_service sync --inexact "$@"
        locked | grep -E '^(torch|torchvision)==' \
            | uv pip install --python .venv --no-deps --default-index "$TORCH_INDEX" --requirements -
        .venv/bin/python -c 'import torch, torchvision; assert torch.version.cuda is None, torch.__version__'
        ;;
    *)
        echo "unknown variant '$variant': cuda or cpu" >&2
        exit 2
        ;;
esac
