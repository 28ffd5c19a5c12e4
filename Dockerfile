FROM debian:12-slim AS build
WORKDIR /source
COPY packages.txt .
RUN apt-get update \
    && awk '$1 == "build" { print $2 }' packages.txt \
       | DEBIAN_FRONTEND=noninteractive xargs apt-get install --yes --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cmake --preset quickstart -DCMAKE_INSTALL_PREFIX=/usr/local \
    && cmake --build build \
    && install -D --strip build/phasemill /image/usr/local/bin/phasemill

# What the program links, by `ldd`; tests/cluster/test_compose.py compares.
FROM debian:12-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
       libamd2 libgomp1 libhiredis0.14 libinih1 libmsgpackc2 libnauty2 librdkafka1 libscotch-7.0 libsqlite3-0 \
       libssl3 libyajl2 libzstd1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin phasemill \
    && install -d -o phasemill -m 700 /var/cache/phasemill
COPY --from=build /image/ /
# A container that keeps its traces mounts something here, which containers of one machine may share; docker-compose.yml
# gives each worker a folder in memory.
ENV XDG_CACHE_HOME=/var/cache
USER phasemill
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["phasemill", "worker", "check"]
ENTRYPOINT ["phasemill"]
CMD ["worker"]
