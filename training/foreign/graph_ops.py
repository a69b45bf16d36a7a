"""Which TensorFlow operations a SavedModel may hold: those that compute, and read no file.

A SavedModel is a program: ReadFile, WriteFile or a Python function by its number are operations
like any other. The list names what is let through, not what is kept out, so that an operation of a
later TensorFlow is refused until somebody has looked at it.
"""

from collections.abc import Iterable

# Numbers in, numbers out: neither files nor state nor code.
COMPUTES = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3
    BatchToSpaceND BiasAdd BroadcastArgs BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D
    Conv2DBackpropInput Cos DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu Equal Erf Exp
    ExpandDims FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd
    GatherV2 Greater GreaterEqual Identity IdentityN LRN LeakyRelu Less LessEqual Log Log1p
    LogSoftmax LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPoolV2 Maximum Mean Min Minimum
    MirrorPad Mul MulNoNan Neg NoOp NotEqual OneHot Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape ShapeN Sigmoid Sign Sin
    Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tan Tanh Tile TopKV2 Transpose
    Unpack ZerosLike _FusedConv2D _FusedMatMul
    """.split()  # noqa: SIM905
)
# In a SavedModel as it lies there: variables, calls of its own functions, and what TensorFlow's
# own saving and restoring is made of. Loading runs none of the latter; a frozen graph has none.
_PLUMBING = frozenset(
    """
    AssignVariableOp DisableCopyOnRead MergeV2Checkpoints PartitionedCall ReadVariableOp RestoreV2
    SaveV2 ShardedFilename StatefulPartitionedCall StaticRegexFullMatch StringJoin VarHandleOp
    VarIsInitializedOp
    """.split()  # noqa: SIM905
)
SAVED = COMPUTES | _PLUMBING

# Kinds of object that loading makes without running a function of the file's.
OBJECTS = (
    "user_object", "function", "variable", "bare_concrete_function", "constant", "captured_tensor",
)  # fmt: skip


def refused_op(names: Iterable[str], allowed: frozenset[str]) -> str | None:
    """The first operation that is not allowed."""
    return next((name for name in names if name not in allowed), None)
