package org.asmnetkit.demo

import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.util.Base64
import java.util.concurrent.atomic.AtomicInteger
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.ArgbPicture
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.asmnetkit.core.Crop
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Json
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.Plane
import org.asmnetkit.core.Pose
import org.asmnetkit.core.SeenFace
import org.asmnetkit.core.TensorInfo
import org.asmnetkit.core.TurnedPicture
import org.asmnetkit.core.YuvPicture

/** A person that Python drew, with the true landmarks and pose, and what the model sees of it. */
object TestFace {
    private val folder = File(System.getProperty("asmnetkit.inputs"))

    @Suppress("UNCHECKED_CAST")
    private val about = Json.parse(File(folder, "face.json").readText()) as Map<String, Any?>

    val width = (about["width"] as Long).toInt()
    val height = (about["height"] as Long).toInt()
    private val rgb: ByteArray = Base64.getDecoder().decode(about["rgb"] as String)
    val landmarks = floats("landmarks")
    val pose = floats("pose").let { Pose(it[0], it[1], it[2]) }
    val box = Box.around(landmarks)

    /** What the model of the tests says of this picture, looking at [box], as Python's runtime runs it. */
    val outputs: Map<String, FloatArray> = (about["outputs"] as Map<*, *>).entries.associate { (name, values) ->
        name.toString() to (values as List<*>).map { (it as Number).toFloat() }.toFloatArray()
    }

    /** The picture as a camera gives it: as it is when turned clockwise by [turn], with half the colours' resolution. */
    fun frame(turn: Int): YuvPicture {
        val pixels = IntArray(width * height).also { bitmap.getPixels(it, 0, width, 0, 0, width, height) }
        val picture = TurnedPicture(ArgbPicture(width, height, pixels), (360 - turn) % 360)
        fun plane(wide: Int, high: Int, value: (x: Int, y: Int) -> Double): Plane {
            val bytes = ByteArray(wide * high) { value(it % wide, it / wide).coerceIn(0.0, 255.0).toInt().toByte() }
            return Plane(ByteBuffer.wrap(bytes), wide, 1)
        }
        fun mix(rgb: Int, red: Double, green: Double, blue: Double) =
            red * (rgb shr 16 and 255) + green * (rgb shr 8 and 255) + blue * (rgb and 255)
        return YuvPicture(
            picture.width,
            picture.height,
            plane(picture.width, picture.height) { x, y -> mix(picture.rgb(x, y), 0.299, 0.587, 0.114) + 0.5 },
            plane(picture.width / 2, picture.height / 2) { x, y -> 128.5 + mix(picture.rgb(2 * x, 2 * y), -0.168736, -0.331264, 0.5) },
            plane(picture.width / 2, picture.height / 2) { x, y -> 128.5 + mix(picture.rgb(2 * x, 2 * y), 0.5, -0.418688, -0.081312) },
        )
    }

    val bitmap: Bitmap by lazy {
        val pixels = IntArray(width * height) { i ->
            (0xFF shl 24) or (byte(3 * i) shl 16) or (byte(3 * i + 1) shl 8) or byte(3 * i + 2)
        }
        Bitmap.createBitmap(pixels, width, height, Bitmap.Config.ARGB_8888)
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
 * @param isReal give the model's own answers for [TestFace.box], and not the truth.
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
    private val answers = boxes.map { Crop.of(it, size, model.metadata.cropScale).toFractions(TestFace.landmarks) }
    private var runs = 0

    override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
        check(input.capacity() == size * size * 3)
        onRun()
        val fractions = answers[minOf(runs++, answers.size - 1)]
        val asked = listOf(pose.yaw, pose.pitch, pose.roll).map { it / Pose.UNIT_DEGREES }.toFloatArray()
        val known = if (isReal) TestFace.outputs else TestFace.outputs + mapOf("landmarks" to fractions, "pose" to asked)
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
