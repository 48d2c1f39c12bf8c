# Sluice: nginx, workers and store in one container, from Debian's own packages and locked wheels.

FROM debian:trixie-slim AS build
# Debian's stable suite takes only fixes, which a rebuild is meant to pick up.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
# pip and the build tools stay behind in /build; /opt/sluice never has them.
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/sluice
WORKDIR /src
COPY deploy/lock/build.txt deploy/lock/runtime.txt deploy/lock/
# The two secrets let pip trust a local CA; neither is needed, and nothing of them stays.
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.crt,required=false \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf,required=false \
    /build/bin/pip install --no-cache-dir --no-deps --require-hashes -r deploy/lock/build.txt \
    && /build/bin/pip --python /opt/sluice/bin/python install --no-cache-dir --no-deps \
        --require-hashes --only-binary :all: -r deploy/lock/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY nginx nginx
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
    && /build/bin/pip --python /opt/sluice/bin/python install --no-cache-dir --no-deps --no-index \
        /dist/*.whl

FROM debian:trixie-slim AS system
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates nginx python3 tini valkey-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/* \
    && groupadd --gid 10001 sluice \
    && useradd --uid 10001 --gid sluice --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sluice

FROM build AS sbom
COPY deploy/lock/sbom.txt deploy/lock/
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.crt,required=false \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf,required=false \
    /build/bin/pip install --no-cache-dir --no-deps --require-hashes -r deploy/lock/sbom.txt
COPY deploy/sbom.py deploy/
COPY --from=system /var/lib/dpkg/status /etc/os-release /system/
RUN PATH=/build/bin:$PATH python deploy/sbom.py /opt/sluice/bin/python /system /sbom.json

FROM system
COPY --from=build /opt/sluice /opt/sluice
COPY --from=sbom /sbom.json /opt/sluice/sbom.json
COPY deploy/healthcheck.sh /opt/sluice/bin/healthcheck
ENV PATH=/opt/sluice/bin:$PATH \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# All that is ever written lies in /tmp; the rest may be mounted read-only.
WORKDIR /tmp
EXPOSE 8080 8443 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["/opt/sluice/bin/healthcheck"]
ENTRYPOINT ["tini", "--", "sluice"]
CMD ["run"]
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sluice" \
    org.opencontainers.image.description="An edge gateway for streamed LLM answers" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
