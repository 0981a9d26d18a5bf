# syntax=docker/dockerfile:1
#
# docker build --tag gapless .
# docker run --publish 127.0.0.1:8583:8583 --volume gapless:/var/lib/gapless gapless
#
# Public images only. The C compiler that the crate ring needs is in the first.

FROM rust:1-slim-bookworm AS build
WORKDIR /build
COPY . .
# The caches outlive the build, so the binary is taken out of one in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package gapless \
    && install -D --mode=0755 target/release/gapless /out/gapless

FROM debian:bookworm-slim
# Numbers, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 gapless \
    && useradd --uid 10001 --gid 10001 --no-create-home \
        --home-dir /var/lib/gapless --shell /usr/sbin/nologin gapless \
    && install -d --owner=gapless --group=gapless --mode=0700 /var/lib/gapless
COPY --from=build /out/gapless /usr/local/bin/gapless
COPY config/gapless.docker.toml /etc/gapless/gapless.toml
COPY config/dialects /etc/gapless/dialects
COPY config/demo /etc/gapless/demo

USER 10001:10001
WORKDIR /var/lib/gapless
# The journal: what stands here is the bank's money. The owner set above carries
# over to a new named volume; a folder of the host must belong to 10001.
VOLUME /var/lib/gapless
# ISO 8583 ASCII, BCD with TPDU, ASCII with hex bitmaps; admin HTTP.
EXPOSE 8583 8584 8585 8580

# It answers while it recovers, too; /readyz tells when links are open.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["gapless", "health", "--url", "http://127.0.0.1:8580/healthz"]

# Stops with SIGTERM, and drains before it does.
STOPSIGNAL SIGTERM
ENTRYPOINT ["gapless", "serve", "--config", "/etc/gapless/gapless.toml", "--data-dir", "/var/lib/gapless"]
