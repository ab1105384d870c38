# Stablehand's images, one target each:
#
#   operator   the operator
#   server     the base of an app's image: gunicorn with live settings and metrics
#   example    the server with the two example apps, and what a user's own Dockerfile looks like
#
# The base is any image with Python 3.10 or newer and its venv module. Third-party packages are pinned with hashes; what
# is built here is a virtual environment in /opt/stablehand. In the server image it has a pip, and belongs to the user
# that the image runs as: an app's Dockerfile is FROM, COPY and RUN pip install, without changing users. What runs there
# is never root, and the operator makes the file system read-only at run time.
#
# A package index or a certificate authority of your own: build with `--build-arg PIP_INDEX_URL=...`, and with
# `--secret id=ca,src=/path/to/bundle.pem --build-arg PIP_CERT=/run/secrets/ca`. Neither gets into an image.
ARG BASE_IMAGE=python:3.13-slim


FROM ${BASE_IMAGE} AS builder
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt requirements/
RUN --mount=type=secret,id=ca \
    python3 -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes --requirement requirements/build.txt \
    && python3 -m venv --without-pip /opt/stablehand \
    && mkdir --parents /app


# What an image needs from elsewhere changes rarely, what is ours often: each is a layer of its own.
FROM builder AS server-dependencies
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements/server.txt requirements/
RUN --mount=type=secret,id=ca \
    /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --only-binary :all: \
        --require-hashes --requirement requirements/server.txt


FROM server-dependencies AS app-dependencies
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements/app-pip.txt requirements/app-constraints.txt requirements/
RUN --mount=type=secret,id=ca \
    /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --only-binary :all: \
        --require-hashes --requirement requirements/app-pip.txt \
    && cp requirements/app-constraints.txt /opt/stablehand/constraints.txt


FROM builder AS operator-dependencies
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements/operator.txt requirements/
RUN --mount=type=secret,id=ca \
    /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --only-binary :all: \
        --require-hashes --requirement requirements/operator.txt


FROM server-dependencies AS example-dependencies
ARG PIP_CERT
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY requirements/example.txt requirements/
RUN --mount=type=secret,id=ca \
    /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --only-binary :all: \
        --require-hashes --requirement requirements/example.txt


FROM builder AS wheels
COPY tuner/ tuner/
COPY simulator/ simulator/
COPY server/ server/
COPY operator/ operator/
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels \
        ./tuner ./simulator ./server ./operator \
    && /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --no-deps --no-index --root /server \
        /wheels/stablehand_tuner-*.whl /wheels/stablehand_server-*.whl \
    && /opt/build/bin/pip --python /opt/stablehand/bin/python install --quiet --no-deps --no-index --root /operator \
        /wheels/stablehand_tuner-*.whl /wheels/stablehand_simulator-*.whl /wheels/stablehand_operator-*.whl


# Not a user of the machine's, never root. All three run with a read-only root file system; the server needs a writable
# /tmp or /dev/shm, which Kubernetes gives every pod.
FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/stablehand/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /app
USER 65532:65532


FROM runtime AS operator
COPY --from=operator-dependencies /opt/stablehand /opt/stablehand
COPY --from=wheels /operator/opt/stablehand /opt/stablehand
LABEL org.opencontainers.image.title="stablehand operator" org.opencontainers.image.licenses="MIT"
EXPOSE 9465
ENTRYPOINT ["stablehand"]
CMD ["run"]


# Where nobody says how many workers to run, the container's limits do. Not by WEB_CONCURRENCY: uvicorn, gunicorn itself
# and others that somebody starts in this image read that too, and know no "auto".
FROM runtime AS serving
ENV STABLEHAND_WORKERS=auto


FROM serving AS example
COPY --from=example-dependencies /opt/stablehand /opt/stablehand
COPY --from=wheels /server/opt/stablehand /opt/stablehand
COPY examples/ /app/
LABEL org.opencontainers.image.title="stablehand examples" org.opencontainers.image.licenses="MIT"
EXPOSE 8000 9464
ENTRYPOINT ["stablehand-server"]
CMD ["io_bound.app:app", "--bind=0.0.0.0:8000", "--metrics-bind=0.0.0.0:9464"]


# A package that an app pins to a version that the server cannot work with fails the app's build, by the constraints.
FROM serving AS server
ENV PIP_CONSTRAINT=/opt/stablehand/constraints.txt \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY --from=builder --chown=65532:65532 /app /app
COPY --from=app-dependencies --chown=65532:65532 /opt/stablehand /opt/stablehand
COPY --from=wheels --chown=65532:65532 /server/opt/stablehand /opt/stablehand
LABEL org.opencontainers.image.title="stablehand server" org.opencontainers.image.licenses="MIT"
EXPOSE 8000 9464
ENTRYPOINT ["stablehand-server"]
CMD ["--help"]
