# The image of tarsy-db, and TARSy's backend with tarsy-db added to it.
#
#   podman build -t tarsy-db .
#   podman build -t tarsy-backend --target backend --build-arg TARSY_BACKEND_IMAGE=IMAGE .
#
# `docker build` takes the same arguments. Nothing here needs BuildKit.

# Both of one Debian release: the binary needs a C library as new as the one it was linked with.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim
ARG TARSY_BACKEND_IMAGE=docker.io/library/debian:bookworm-slim

# The workspace as cargo needs it to build the dependencies: the manifests, and an empty program for every
# target that a manifest may name. Equal dates keep the next stage's layer valid until a manifest changes.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /build
COPY . .
RUN find . -path '*/src/*' -type f ! -name main.rs ! -name lib.rs -delete \
 && find . -mindepth 1 -type d -empty -delete \
 && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" > "$file"; done' sh {} + \
 && find . -exec touch --date=@0 {} +

FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY --from=manifests /build .
RUN cargo build --profile dist --locked
COPY migration migration
COPY src src
# cargo goes by modification times, and a source file may well be older than the empty program just built.
RUN find migration src -name '*.rs' -exec touch {} + \
 && cargo build --profile dist --locked

# One layer over a foreign image: the same binary waits in front of the backend that created the schema.
# Set the entrypoint where the container is started (compose.yaml does): an ENTRYPOINT here would drop the
# image's CMD without a word.
FROM ${TARSY_BACKEND_IMAGE} AS backend
COPY --from=build /build/target/dist/tarsy-db /usr/local/bin/tarsy-db

FROM ${RUNTIME_IMAGE} AS runtime
LABEL org.opencontainers.image.title="tarsy-db" \
      org.opencontainers.image.description="Creates, checks, prunes and migrates TARSy's alert history" \
      org.opencontainers.image.licenses="Apache-2.0"
# For `sslrootcert=system`. The package would bring the program openssl along; its library is part of the binary.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/target/dist/tarsy-db /usr/local/bin/tarsy-db
# The default database is a file in the working directory. Group 0 may write too, because OpenShift runs the
# image under a user of its own choice in that group.
RUN install -d -o 65532 -g 0 -m 0770 /var/lib/tarsy
WORKDIR /var/lib/tarsy
# The number TARSy's own image uses. A number, because Kubernetes cannot verify that a name is not root.
USER 65532:65532
ENTRYPOINT ["tarsy-db"]
CMD ["--help"]
