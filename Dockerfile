# The gateway as an image: docker build -t faceway .
# `faceway run` as a user without rights; it writes nothing but /var/lib/faceway, so the root file system can be read-only.
ARG RUST=1.95.0

FROM rust:${RUST}-slim-bookworm AS build
# Another profile builds faster: --build-arg PROFILE=dev
ARG PROFILE=release
WORKDIR /src
COPY . .
# What was downloaded and compiled stays for the next build, but not in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --profile "$PROFILE" --bin faceway \
 && install -D -s "target/$([ "$PROFILE" = dev ] && echo debug || echo "$PROFILE")/faceway" /out/faceway

FROM debian:bookworm-slim
# Trusted certificate authorities are built in; `tls.ca` of an outbound names another. What the image adds is the binary.
COPY --from=build /out/faceway /usr/local/bin/faceway
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
