# The image of tarsy-db, and TARSy's backend with tarsy-db added to it.
#
#   podman build -t tarsy-db --build-arg REVISION="$(git rev-parse HEAD)" .
#   podman build -t tarsy-backend --target backend --build-arg TARSY_BACKEND_IMAGE=IMAGE \
#       --build-arg REVISION="$(git rev-parse HEAD)" .
#
# With the same REVISION the program is compiled once. `docker build` takes the same arguments. Nothing here needs BuildKit.
# docs/containers.md has the details.

# It has make and perl, with which OpenSSL is built. The C library is linked into the binary, so that the binary runs in
# any image, whichever C library that has.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
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
# amd64 or arm64. podman and BuildKit set it to the platform that is built for, and without it the image is built for
# this machine. For another architecture than this machine's a cross-compiler is installed.
ARG TARGETARCH
RUN architecture=${TARGETARCH:-$(dpkg --print-architecture)} \
 && case "$architecture" in \
      amd64) machine=x86_64 ;; \
      arm64) machine=aarch64 ;; \
      *) echo "TARGETARCH is $architecture: only amd64 and arm64 are known" >&2; exit 1 ;; \
    esac \
 && echo "$machine-unknown-linux-gnu" > /target \
 && if [ "$architecture" != "$(dpkg --print-architecture)" ]; then \
      package=$(echo "$machine" | tr _ -) \
      && apt-get update -qq && apt-get install -y -qq --no-install-recommends \
           "gcc-$package-linux-gnu" "libc6-dev-$architecture-cross" \
      && { [ -d "$(rustc --print target-libdir --target "$(cat /target)")" ] || rustup target add "$(cat /target)"; }; \
    fi
# Debian's compilers have these names on all architectures. Macros are compiled for this machine, which cannot link them
# statically; since --target is given, the flags are not for them.
ENV CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    RUSTFLAGS="-C target-feature=+crt-static"
WORKDIR /build
COPY --from=manifests /build .
# `release` optimises less, so that a change in src/ is compiled in half of the time.
ARG PROFILE=dist
RUN cargo build --profile "$PROFILE" --locked --target "$(cat /target)"
COPY migration migration
COPY build.rs .
COPY src src
# `tarsy-db --version --verbose` names it, with twelve digits and `-dirty` if that follows.
ARG REVISION=""
# cargo goes by modification times, and a source file may well be older than the empty program just built.
RUN find migration build.rs src -name '*.rs' -exec touch {} + \
 && export TARSY_DB_COMMIT="$(echo "$REVISION" | sed -E 's/^([0-9a-f]{12})[0-9a-f]*/\1/')" \
 && cargo build --profile "$PROFILE" --locked --target "$(cat /target)" \
 && install -D "target/$(cat /target)/$PROFILE/tarsy-db" /image/usr/local/bin/tarsy-db

# What the binary needs beside itself: the certificates of `sslrootcert=system`, and the names of the users.
FROM ${RUST_IMAGE} AS files
RUN mkdir -p /image/etc/ssl/certs /image/var/lib /data/tarsy \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && printf '%s\n' 'root:x:0:0:root:/:/sbin/nologin' \
      'nonroot:x:65532:65532:nonroot:/var/lib/tarsy:/sbin/nologin' > /image/etc/passwd \
 && printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' > /image/etc/group \
 && install -d -m 1777 /image/tmp \
 && chmod 0770 /data/tarsy

# One layer over a foreign image: the same binary waits in front of the backend that created the schema.
# Set the entrypoint where the container is started (compose.yaml does): an ENTRYPOINT here would drop the
# image's CMD without a word.
FROM ${TARSY_BACKEND_IMAGE} AS backend
COPY --from=build /image/usr/local/bin/tarsy-db /usr/local/bin/tarsy-db

FROM scratch AS runtime
COPY --from=files /image /
# The default database is a file in the working directory. Group 0 may write too, because OpenShift runs the
# image under a user of its own choice in that group.
COPY --from=files --chown=65532:0 /data /var/lib
COPY --from=build /image /
ENV PATH=/usr/local/bin
WORKDIR /var/lib/tarsy
# The number TARSy's own image uses. A number, because Kubernetes cannot verify that a name is not root.
USER 65532:65532
ENTRYPOINT ["tarsy-db"]
CMD ["--help"]
# Last, because each of them may differ in every build.
ARG VERSION=""
ARG REVISION=""
ARG SOURCE="https://github.com/codeready-toolchain/tarsy-db"
LABEL org.opencontainers.image.title="tarsy-db" \
      org.opencontainers.image.description="Creates, checks, prunes and migrates TARSy's alert history" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
