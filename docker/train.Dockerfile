# Training, quantization and all else that runs on a computer:
#
#   docker build -f docker/train.Dockerfile -t asmnet-kit .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" asmnet-kit quickstart --out quickstart
#
# With an NVIDIA GPU, whose CUDA libraries come as Python packages (the host needs its driver and
# nvidia-container-toolkit):
#
#   docker build -f docker/train.Dockerfile -t asmnet-kit:gpu --build-arg TENSORFLOW='tensorflow[and-cuda]' .
#   docker run --rm --gpus all -v "$PWD:/work" asmnet-kit:gpu train --data DIR --format F --out runs/first
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm
ARG TENSORFLOW=tensorflow
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/asmnet_kit-*.whl)[train]" "${TENSORFLOW}>=2.19,<2.22" \
    && useradd --create-home --uid 1000 kit
USER 1000:1000
# TensorBoard, matplotlib and Keras keep files in the home folder, which --user may not own.
ENV HOME=/tmp TF_CPP_MIN_LOG_LEVEL=2
WORKDIR /work
ENTRYPOINT ["asmnet-kit"]
CMD ["--help"]
