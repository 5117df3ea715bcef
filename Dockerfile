# The digest is that of the index of all platforms, so the same base is built on again. A release
# renews it (see CONTRIBUTING.md): a version gets Debian's fixes under a new digest.
FROM python:3.11.15-slim-trixie@sha256:db3ff2e1800a8581e2c48a27c3995339d47bdf046da21c7627accd3d51053a93 AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src

# Only what is locked by its hash: what the bot needs, and what builds it.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /app \
    && python -m pip --python /app/bin/python install --require-hashes -r requirements/run.txt \
    && python -m pip install --require-hashes -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY bot bot
RUN python -m pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /app/bin/python install --no-index --no-deps /wheel/*.whl

FROM python:3.11.15-slim-trixie@sha256:db3ff2e1800a8581e2c48a27c3995339d47bdf046da21c7627accd3d51053a93

COPY --from=build /app /app

ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app

# Numeric, so that a platform that insists on it can see that this is not root.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
VOLUME /data
ENV LEDGER_URL=sqlite:////data/ledger.db
USER 10001:10001

# Without HEALTH_PORT there is nothing to ask: the container is as well as its process.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; port = os.environ.get('HEALTH_PORT') or sys.exit(0); asked = http.client.HTTPConnection('127.0.0.1', int(port), timeout=4); asked.request('GET', '/healthz'); sys.exit(asked.getresponse().status != 200)"]

# The process itself gets SIGTERM. Arguments are the bot's: `docker run … pg-sessions-bot check`.
ENTRYPOINT ["pg-sessions-bot"]
