# syntax=docker/dockerfile:1
# CUDA image: docker build -t medpatchnet:cuda .
# CPU image:  docker build -t medpatchnet:cpu --build-arg VARIANT=cpu .
# Behind a mirror of PyTorch's index of CPU builds, name it with --build-arg TORCH_INDEX=URL.
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM debian:12.12-slim AS build
ARG VARIANT=cuda
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY --from=uv /uv /usr/local/bin/uv
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
ENV UV_PYTHON_INSTALL_DIR=/opt/python UV_PYTHON=3.12.16 UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
WORKDIR /srv/medpatchnet
COPY deploy/image/install.sh /usr/local/bin/install-packages
COPY pyproject.toml uv.lock ./
RUN install-packages ${VARIANT} --no-install-project
COPY README.md LICENSE ./
COPY app app
COPY training training
RUN install-packages ${VARIANT}

FROM debian:12.12-slim AS runtime
LABEL org.opencontainers.image.title="medpatchnet" \
      org.opencontainers.image.description="Chest X-ray findings with exact evidence; research use, not a medical device" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 medpatchnet \
    && useradd --system --uid 10001 --gid medpatchnet --no-create-home --shell /usr/sbin/nologin medpatchnet \
    && install -d -o medpatchnet -g medpatchnet -m 0700 /var/cache/medpatchnet /var/lib/medpatchnet
COPY --from=build /opt/python /opt/python
COPY --from=build /srv/medpatchnet /srv/medpatchnet
COPY models /srv/medpatchnet/models
WORKDIR /srv/medpatchnet
# The NVIDIA container runtime reads the NVIDIA variables and adds the driver; the wheels have the CUDA libraries.
ENV PATH=/srv/medpatchnet/.venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MEDPATCHNET_CACHE_DIR=/var/cache/medpatchnet \
    MEDPATCHNET_HOST=0.0.0.0 \
    MEDPATCHNET_PORT=8000 \
    MEDPATCHNET_ADMIN_HOST=0.0.0.0 \
    MEDPATCHNET_ADMIN_PORT=8001
USER 10001:10001
EXPOSE 8000 8001 11112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import sys, urllib.request as r; sys.exit(r.urlopen('http://127.0.0.1:8001/readyz', timeout=2).status != 200)"]
ENTRYPOINT ["medpatchnet"]
CMD ["serve"]
