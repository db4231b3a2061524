# The ijepa command with MPI.
#
#   docker build --tag ijepa .
#
# For NVIDIA GPUs, whose libraries are only needed where it runs:
#
#   docker build --tag ijepa --build-arg FEATURES=cuda,mpi \
#     --build-arg RUNTIME=nvidia/cuda:12.8.1-devel-ubuntu24.04 .
ARG RUNTIME=debian:bookworm-slim

FROM rust:1.95-bookworm AS build
ARG FEATURES=mpi
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libopenmpi-dev libclang-dev clang \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo install --locked --path crates/ijepa-cli --features "$FEATURES" --root /installed

FROM $RUNTIME
RUN apt-get update \
  && apt-get install --yes --no-install-recommends openmpi-bin openssh-client \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /installed/bin/ijepa /usr/local/bin/ijepa
# mpirun refuses to be root, which it is in most containers, unless it is told that this is meant.
ENV OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
WORKDIR /data
CMD ["ijepa", "--help"]
