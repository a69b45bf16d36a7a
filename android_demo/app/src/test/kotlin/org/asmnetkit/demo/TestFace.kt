package org.asmnetkit.demo

import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.util.Base64
import java.util.concurrent.atomic.AtomicInteger
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.asmnetkit.core.Crop
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Json
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.Picture
import org.asmnetkit.core.Plane
import org.asmnetkit.core.Pose
import org.asmnetkit.core.SeenFace
import org.asmnetkit.core.TensorInfo
import org.asmnetkit.core.TurnedPicture
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.copyArgb

/** A person that Python drew, with the true landmarks and pose, and what the model sees of it. */
object TestFace {
    private val folder = File(System.getProperty("asmnetkit.inputs"))

    @Suppress("UNCHECKED_CAST")
    private val about = Json.parse(File(folder, "face.json").readText()) as Map<String, Any?>

    private fun whole(key: String) = (about[key] as Long).toInt()

    /** Of the upright picture, whose pixels [landmarks] and [box] are. */
    val width = whole("short")
    val height = whole("long")
    private val rgb: ByteArray = Base64.getDecoder().decode(about["rgb"] as String)
    val landmarks = floats("landmarks")
    val pose = floats("pose").let { Pose(it[0], it[1], it[2]) }
    val box = Box.around(landmarks)

    /** The face in the wide picture. */
    val wideBox = (whole("left") to whole("top")).let { (x, y) -> Box(box.x0 + x, box.y0 - y, box.x1 + x, box.y1 - y) }

    /** What the model of the tests says of this picture, looking at [box], as Python's runtime runs it. */
    val outputs: Map<String, FloatArray> = (about["outputs"] as Map<*, *>).entries.associate { (name, values) ->
        name.toString() to (values as List<*>).map { (it as Number).toFloat() }.toFloatArray()
    }

    private fun cut(left: Int, top: Int, wide: Int, high: Int): Picture = object : Picture {
        override val width = wide
        override val height = high
        override fun rgb(x: Int, y: Int): Int {
            val at = 3 * ((y + top) * whole("long") + x + left)
            return (byte(at) shl 16) or (byte(at + 1) shl 8) or byte(at + 2)
        }
    }

    private val upright = cut(whole("left"), 0, width, height)
    private val wide = cut(0, whole("top"), height, width)

    val bitmap: Bitmap by lazy {
        val pixels = IntArray(width * height).also(upright::copyArgb)
        Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
    }

    /** The picture as a camera gives it, which is to be turned clockwise by [turn], with half the colours' resolution. */
    fun frame(turn: Int, isWide: Boolean): YuvPicture {
        val picture = TurnedPicture(if (isWide) wide else upright, (360 - turn) % 360)
        fun plane(step: Int, value: (rgb: Int) -> Double): Plane {
            val across = picture.width / step
            val bytes = ByteArray(across * (picture.height / step)) {
                value(picture.rgb(step * (it % across), step * (it / across))).coerceIn(0.0, 255.0).toInt().toByte()
            }
            return Plane(ByteBuffer.wrap(bytes), across, 1)
        }
        fun mix(rgb: Int, red: Double, green: Double, blue: Double) =
            red * (rgb shr 16 and 255) + green * (rgb shr 8 and 255) + blue * (rgb and 255)
        return YuvPicture(
            picture.width,
            picture.height,
            plane(1) { 0.5 + mix(it, 0.299, 0.587, 0.114) },
            plane(2) { 128.5 + mix(it, -0.168736, -0.331264, 0.5) },
            plane(2) { 128.5 + mix(it, 0.5, -0.418688, -0.081312) },
        )
    }

    val pictures = File(System.getProperty("asmnetkit.pictures")).apply { mkdirs() }

    private fun byte(at: Int) = rgb[at].toInt() and 255

    private fun floats(key: String) = (about[key] as List<*>).map { (it as Number).toFloat() }.toFloatArray()

    fun save(bitmap: Bitmap, name: String) =
        File(pictures, name).outputStream().use { check(bitmap.compress(Bitmap.CompressFormat.PNG, 100, it)) }
}

/**
 * Finds the test face whatever it is shown, since no native library for Android runs on a PC. It must
 * know which boxes it will be asked about, one after the other; the last one is then asked again.
 *
 * @param isReal give what the model itself saw in [TestFace.box], and not the truth.
 */
class FakeEngine(
    model: ModelFile,
    override val requested: Backend,
    private val boxes: List<Box>,
    private val pose: Pose = TestFace.pose,
    private val isReal: Boolean = false,
    private val onRun: () -> Unit = {},
    private val onClosed: () -> Unit = {},
) : Engine {
    override val actual = Accelerator.CPU
    override val refusal = if (requested.accelerator == Accelerator.CPU) null else "gpu refused this model: a test has none"
    override val runtimeName = "fake"
    override val runtimeVersion = "0"
    override val kernels = "none: a fake for tests"
    override val proof = "a fake for tests"
    override val delegatedOps: Int? = null
    private val size = model.metadata.inputSize
    override val input = TensorInfo("image", listOf(1, size, size, 3), ElementType.INT8, 1 / 128f, 0)
    override val outputs = mapOf("landmarks" to 136, "pose" to 3, "uncertainty" to 68, "visibility" to 68)
        .filterKeys { it in TestFace.outputs }
        .mapValues { (name, values) -> TensorInfo(name, listOf(1, values), ElementType.FLOAT32, null, 0) }
    private val scale = model.metadata.cropScale
    private val landmarks =
        if (isReal) Crop.of(TestFace.box, size, scale).toPicture(TestFace.outputs.getValue("landmarks")) else TestFace.landmarks

    // A film is looked at in the box of the landmarks that were seen last.
    private val answers = (boxes + listOfNotNull(Box.around(landmarks).takeIf { isReal }))
        .map { Crop.of(it, size, scale).toFractions(landmarks) }
    private var runs = 0

    override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
        check(input.capacity() == size * size * 3)
        onRun()
        val fractions = answers[minOf(runs++, answers.size - 1)]
        val asked = listOf(pose.yaw, pose.pitch, pose.roll).map { it / Pose.UNIT_DEGREES }.toFloatArray()
        val known = TestFace.outputs + mapOf("landmarks" to fractions) + if (isReal) emptyMap() else mapOf("pose" to asked)
        for ((name, out) in outputs) {
            out.rewind()
            known.getValue(name).forEach { out.putFloat(it) }
        }
    }

    override fun close() = onClosed()

    class Factory(private vararg val boxes: Box = arrayOf(TestFace.box)) : EngineFactory {
        private val count = AtomicInteger()

        /** What engines that are opened from now on say of the head, and do in a run. */
        var pose = TestFace.pose
        var onRun: () -> Unit = {}
        var isReal = false

        /** Engines that are open now. */
        val open: Int get() = count.get()

        override fun open(model: ModelFile, backend: Backend): Engine {
            count.incrementAndGet()
            return FakeEngine(model, backend, boxes.toList(), pose, isReal, { onRun() }) { count.decrementAndGet() }
        }
    }
}

/** The face that is told about where there are several. */
val Scene.face: SeenFace? get() = faces.firstOrNull()
