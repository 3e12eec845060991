# The release job, in an image of its own: it runs once, brings the database to this image's head or refuses, and ends.
#
#   docker build --target job -t migrate .       the job without a history: a user's image is FROM this one
#   docker build -t newsifier-migrate .          the last stage, as Railway builds it: the job with the example's history
#
# No HEALTHCHECK: a one-shot container is judged by its exit code.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Two environments, so that the tools that build the package are left behind.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes --no-deps -r requirements/build.txt \
 && python -m venv --without-pip /opt/migrate \
 && /opt/build/bin/pip --python /opt/migrate/bin/python install --quiet --require-hashes --no-deps --no-compile \
      -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrate migrate
# The byte-code is trusted without a look at the sources: the image is never written to.
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/build/bin/pip --python /opt/migrate/bin/python install --quiet --no-index --no-deps --no-compile /wheels/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/migrate/lib \
 && chmod -R a+rX /opt/migrate
COPY examples/newsifier/alembic.ini /app/
COPY examples/newsifier/alembic /app/alembic
COPY examples/newsifier/newsifier /app/newsifier
RUN chmod -R a+rX /app

FROM python:3.13-slim AS job
# The base image's standard library comes without byte-code, which a read-only container would make anew at every start:
# that was more than all else that a run with nothing to do costs.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x '/(ensurepip|idlelib|site-packages|dist-packages|test|tests|tkinter|turtledemo)/' \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="migrate" \
      org.opencontainers.image.description="The release-phase job for Alembic on PostgreSQL" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# JSON lines even where the platform gives the container a terminal; no byte-code is written into a read-only system.
ENV PATH=/opt/migrate/bin:$PATH \
    LANG=C.UTF-8 \
    MIGRATE_LOG_FORMAT=json \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/migrate /opt/migrate
WORKDIR /app
# Numeric, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["migrate"]
CMD ["up"]

FROM job AS newsifier
LABEL org.opencontainers.image.title="newsifier-migrate"
COPY --from=build /app /app
