# syntax=docker/dockerfile:1
# Carina's service, in two images: `api`, which needs nothing of the machine it runs on and is nobody there, and
# `worker`, which makes containers, bridges and mounts on it and therefore is root (see docs/how-to/production.md).

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY scripts/install.sh scripts/
COPY domain domain
COPY activities activities
COPY workflows workflows
COPY drivers drivers
COPY store store
COPY api api
COPY worker worker
RUN python -m venv /opt/carina && scripts/install.sh /opt/carina

FROM python:3.13-slim-trixie AS base
COPY --from=build /opt/carina /opt/carina
ENV PATH=/opt/carina/bin:$PATH PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM

FROM base AS worker
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        apparmor btrfs-progs ca-certificates iproute2 kmod lxc lxcfs mmdebstrap mount nftables procps uidmap util-linux zstd \
    && rm -rf /var/lib/apt/lists/*
CMD ["carinad", "worker"]

FROM base AS api
RUN useradd --system --uid 8440 --home-dir /var/lib/carina --shell /usr/sbin/nologin carina
USER carina
ENV CARINA_LISTEN=0.0.0.0:8440
EXPOSE 8440
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8440/healthz', timeout=2)"]
CMD ["carinad", "api"]
