# The gateway as an image: docker build -t faceway .
# Who publishes it says where it is from:
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg SOURCE=https://… -t faceway .
# `faceway run` as a user without rights; it writes nothing but /var/lib/faceway, so the root file system can be read-only.
ARG RUST=1.95.0

FROM rust:${RUST}-slim-bookworm AS build
# Another profile builds faster: --build-arg PROFILE=dev
ARG PROFILE=dist
WORKDIR /src
COPY . .
# What was downloaded and compiled stays for the next build, but not in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --profile "$PROFILE" --bin faceway \
 && cargo run --locked --profile "$PROFILE" --quiet -p faceway-sbom >/tmp/faceway.cdx.json \
 && install -D -s "target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")/faceway" /out/faceway \
 && install -m 644 /tmp/faceway.cdx.json /out/

FROM debian:bookworm-slim
# Trusted certificate authorities are built in; `tls.ca` of an outbound names another. What the image adds is the binary.
COPY --from=build /out/faceway /usr/local/bin/faceway
# What it is built of, for who looks for vulnerabilities.
COPY --from=build /out/faceway.cdx.json /usr/share/doc/faceway/
COPY gateway.toml routes.toml /etc/faceway/
# A volume that is mounted here for the first time takes over the owner.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/faceway
USER 10001:10001
# Where commands look for both files, so that `docker exec … faceway lanes` finds the gateway.
WORKDIR /etc/faceway
ENV FACEWAY_SPOOL__DIR=/var/lib/faceway
VOLUME /var/lib/faceway
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["faceway", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["faceway"]
CMD ["run"]
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="Faceway" \
      org.opencontainers.image.description="A normalizing gateway for face-recognition devices." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
