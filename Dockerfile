# One image for every process of the Procfile; the console is the default command.
# The base may come from a mirror: --build-arg BASE=…
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /venv
WORKDIR /app
COPY requirements.txt .
RUN /venv/bin/pip install --require-hashes -r requirements.txt \
    && /venv/bin/python -m compileall -q /venv/lib
COPY . .
# The settings insist on their secrets; gathering static files uses neither.
RUN SECRET_KEY=unused-while-building FIELD_ENCRYPTION_KEYS=dW51c2VkLXdoaWxlLWJ1aWxkaW5nLTAxMjM0NTY3ODk= \
    AUDIT_KEYS=unused-while-building-0123456789 \
    /venv/bin/python manage.py collectstatic --no-input --verbosity 0 \
    && /venv/bin/python -m compileall -q /app

FROM ${BASE}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:////data/remosa.sqlite3 \
    GRANIAN_HOST=0.0.0.0 GRANIAN_PORT=8000 GRANIAN_WORKERS=2 GRANIAN_BLOCKING_THREADS=8
RUN mkdir /data && chown 10001:10001 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8000
# Asks the console; the other processes answer for themselves: set `healthcheck: disable` for them.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["python", "scripts/healthcheck.py"]
CMD ["granian", "--interface", "wsgi", "--no-ws", "remosa.wsgi:application"]
