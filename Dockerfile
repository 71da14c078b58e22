# attache in a container: built and run on Debian 13, as an unprivileged user.
#
#   docker build --tag attache .
#   docker run --rm --network host --volume recordings:/var/lib/attache/recordings attache
#
# On the host's network, since WebRTC's media comes on UDP ports of their own; on 127.0.0.1:8080
# until a configuration says otherwise.

FROM debian:trixie-slim AS build
WORKDIR /src
COPY scripts/install-dependencies.sh scripts/
COPY Cargo.toml Cargo.lock ./
RUN scripts/install-dependencies.sh build
COPY src src
COPY congestion congestion
COPY scale scale
COPY models models
COPY pipelines pipelines
RUN --mount=type=cache,target=/root/.cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && \
    strip -o /attache target/release/attache

FROM debian:trixie-slim
COPY scripts/install-dependencies.sh /tmp/attache/scripts/
COPY Cargo.toml /tmp/attache/
RUN /tmp/attache/scripts/install-dependencies.sh run && \
    apt-get install -y -qq --no-install-recommends ca-certificates curl && \
    rm -rf /tmp/attache /var/lib/apt/lists/* && \
    useradd --system --uid 900 --groups audio,video --home-dir /var/lib/attache attache && \
    install -d -o attache -g attache /var/lib/attache /var/lib/attache/recordings
COPY --from=build /attache /usr/local/bin/attache
COPY pipelines /usr/share/attache/pipelines
COPY models/README.md models/nsnet2-48k.LICENSE /usr/share/doc/attache/models/
# attache, as a number: Kubernetes' runAsNonRoot does not know names.
USER 900
WORKDIR /var/lib/attache
VOLUME /var/lib/attache/recordings
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["attache"]
CMD ["serve"]
