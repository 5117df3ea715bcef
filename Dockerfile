FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

WORKDIR /app

COPY requirements/run.txt requirements/run.txt
RUN python -m pip install --disable-pip-version-check --no-cache-dir --no-input \
        --root-user-action=ignore --require-hashes -r requirements/run.txt

COPY LICENSE LICENSE
COPY bot bot

# Numeric, so that a platform that insists on it can see that this is not root.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
VOLUME /data
ENV LEDGER_URL=sqlite:////data/ledger.db
USER 10001:10001

# Without HEALTH_PORT there is nothing to ask: the container is as well as its process.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; port = os.environ.get('HEALTH_PORT') or sys.exit(0); asked = http.client.HTTPConnection('127.0.0.1', int(port), timeout=4); asked.request('GET', '/healthz'); sys.exit(asked.getresponse().status != 200)"]

CMD ["python", "-m", "bot"]
