# One image for every Airflow service of the stack. Build: docker compose build
FROM apache/airflow:3.3.2-python3.12

LABEL org.opencontainers.image.title="Biological Memory Pipeline" \
      org.opencontainers.image.description="Airflow, dbt and DuckDB that keep an agent's memories in shape the way a brain does" \
      org.opencontainers.image.licenses="Apache-2.0"

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
USER 0
WORKDIR /opt/biomem

# A virtual environment of its own holds exactly what the lock names and nothing the base image happens to bring.
# Bytecode is compiled here because nothing can be written here later.
ENV VIRTUAL_ENV=/opt/biomem/.venv \
    PATH=/opt/biomem/.venv/bin:$PATH \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
COPY requirements-server.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --python 3.12 "$VIRTUAL_ENV" \
    && uv pip install --require-hashes -r requirements-server.lock

COPY pyproject.toml README.md LICENSE ./
COPY include include
COPY plugins plugins
COPY config config
COPY dbt dbt
COPY dags dags
COPY docker docker

# Editable, so that there is one copy of the code and the project finds its dbt directory beside it.
# dbt parses the project again when the environment of its profile changes, so this is the one that tasks have.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --no-deps --no-build-isolation --editable . \
    && BIOMEM_WAREHOUSE=/var/lib/biomem/warehouse.duckdb DBT_SEND_ANONYMOUS_USAGE_STATS=False \
       dbt --quiet parse --project-dir dbt --profiles-dir dbt --log-path /tmp/dbt-logs \
    && rm -rf /tmp/dbt-logs \
    && chmod -R go=u,go-w config dags dbt docker include plugins \
    && install --directory --owner=50000 --group=0 --mode=0700 /run/biomem /var/lib/biomem

ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW_CONFIG=/run/biomem/airflow.cfg \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/biomem/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/biomem/plugins \
    BIOMEM_HOME=/var/lib/biomem \
    PGPASSFILE=/run/biomem/pgpass \
    PYTHONPATH=/opt/biomem/config \
    PYTHONUNBUFFERED=1

USER 50000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["/opt/biomem/docker/healthcheck.sh", "metadatabase"]
ENTRYPOINT ["/opt/biomem/docker/entrypoint.sh"]
CMD ["airflow", "version"]
