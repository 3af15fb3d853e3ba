# One image for every Driftline process: `driftline worker` unless another command is given.
FROM python:3.11-slim

# librdkafka comes with confluent-kafka's wheel and the rest with theirs: nothing is compiled here.
WORKDIR /opt/driftline
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY pipeline ./pipeline
RUN pip install --no-cache-dir --constraint constraints.txt .

# The compiled kernels are kept where this user may write.
RUN useradd --system --uid 10001 --create-home driftline \
    && install -d -o driftline -g driftline /var/cache/driftline /etc/driftline
ENV PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/var/cache/driftline
USER driftline

# driftline.toml is read from here.
WORKDIR /etc/driftline
STOPSIGNAL SIGTERM
ENTRYPOINT ["driftline"]
CMD ["worker"]
