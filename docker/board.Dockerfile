# Predict, evaluate and benchmark on a small Linux board (arm64 or x86-64): no TensorFlow.
#
#   docker buildx build -f docker/board.Dockerfile -t asmnet-kit:board --platform linux/arm64 .
#   docker run --rm -v "$PWD:/work" asmnet-kit:board predict photo.jpg --json
#   docker run --rm --device /dev/video0 asmnet-kit:board predict 0 --jsonl
#
# With a Coral accelerator (libedgetpu of the host; Python 3.11 at most):
#
#   docker buildx build -f docker/board.Dockerfile -t asmnet-kit:coral --build-arg EXTRAS='[edgetpu]' .
#   docker run --rm --device /dev/bus/usb -v /usr/lib/aarch64-linux-gnu/libedgetpu.so.1:/usr/lib/libedgetpu.so.1:ro \
#     -v "$PWD:/work" asmnet-kit:coral benchmark model_edgetpu.tflite --target edgetpu --out results
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm
ARG EXTRAS=
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir "$(echo /wheels/asmnet_kit-*.whl)${EXTRAS}" \
    && useradd --create-home --uid 1000 --groups video,plugdev kit
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["asmnet-kit"]
CMD ["--help"]
