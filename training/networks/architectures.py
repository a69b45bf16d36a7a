"""The architectures by name: the kit's own, and those that other packages bring.

An architecture is a function ``network(image, *, points, extra=())``: from the Keras tensor of the
crops, float32 [B, S, S, 3], (v - 128) / 128, to a dictionary of the tensors ``landmarks``
[B, 2 points] and ``pose`` [B, 3], and of the ``extra`` ones that training asks for, as the
functions of ``heads`` make them. One without ``extra`` can learn no uncertainty and no visibility.
It uses plain ``tf_keras`` layers, never a model inside the model: quantization-aware training wants
the network flat.

Nothing is imported here until a network is built: ``--help`` lists the names without TensorFlow.
"""

from asmnet_kit.base.plugins import PluginTable

ARCHITECTURES = PluginTable(
    kind="architecture",
    group="asmnet_kit.architectures",
    own={
        # The paper's network: MobileNetV2 cut after block 15, six pooled taps (1.44 M weights).
        "asmnet": "asmnet_kit.training.networks.asmnet:asmnet",
        # At the same cost, with a head that keeps positions (1.36 M at 112 px).
        "asmnet_plus": "asmnet_kit.training.networks.asmnet_plus:asmnet_plus",
        # Small and quick to train, keeps positions too (0.38 M at 112 px).
        "asmnet_nano": "asmnet_kit.training.networks.asmnet_nano:asmnet_nano",
        # The paper's baseline: the whole MobileNetV2 (2.44 M).
        "mobilenetv2": "asmnet_kit.training.networks.mobilenetv2:mobilenetv2",
    },
    needs=("__call__",),
)
