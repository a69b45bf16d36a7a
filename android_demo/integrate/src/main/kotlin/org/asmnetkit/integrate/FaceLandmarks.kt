package org.asmnetkit.integrate

import java.nio.ByteBuffer
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.ArgbPicture
import org.asmnetkit.core.Backend
import org.asmnetkit.core.BlazeFace
import org.asmnetkit.core.BlazeFaceWeights
import org.asmnetkit.core.Box
import org.asmnetkit.core.Face
import org.asmnetkit.core.FaceDetector
import org.asmnetkit.core.FaceModel
import org.asmnetkit.core.FaceTracker
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.TrackedFace
import org.asmnetkit.cpu.CpuEngine
import org.asmnetkit.cpu.CpuNetwork

/**
 * Landmarks and head pose of a bitmap's faces: all of the kit that an app needs, in one class to copy.
 *
 *     val faces = FaceLandmarks(mapped("model.tflite"), mapped("face_detection_short_range.tflite"), mapped("face_detection_full_range.tflite"))
 *     bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
 *     for (face in faces.inPicture(pixels, bitmap.width, bitmap.height)) draw(face.landmarks)
 *
 * Make, use and close it on one thread. Buffers are direct ones: docs/android.md has a `mapped` for assets. Needs `core/`, `cpu/`
 * and `org.bytedeco:tensorflow-lite` with `javacpp` (versions: gradle/libs.versions.toml).
 *
 * @throws ModelException a file is no model, or not the one it should be.
 * @throws LinkageError there is no library for this device: 64-bit ARM and x86 have one.
 */
class FaceLandmarks(model: ByteBuffer, shortRange: ByteBuffer, fullRange: ByteBuffer, threads: Int = 2) : AutoCloseable {
    private val engine = ModelFile.read("model.tflite", model).let { file ->
        Pair(file, CpuEngine.Runtime.open(file, Backend(Accelerator.CPU, threads), refusal = null))
    }
    private val landmarks = FaceModel(engine.first, engine.second)
    private val detector = FaceDetector(
        network(shortRange, BlazeFaceWeights.SHORT_RANGE, threads),
        network(fullRange, BlazeFaceWeights.FULL_RANGE, threads),
    )
    private val tracker = FaceTracker(detector)

    /**
     * The faces of a single picture, largest first; the model looks at each three times, as `asmnet-kit predict` does.
     *
     * @param pixels 0xAARRGGBB row by row, as Bitmap.getPixels gives them; upright.
     * @return landmarks as x, y interleaved, pixels of the picture, (0, 0) the centre of the first one.
     */
    fun inPicture(pixels: IntArray, width: Int, height: Int): List<Face> {
        val picture = ArgbPicture(width, height, pixels)
        return detector.find(picture).map { landmarks.lookAgain(picture, it.box) }.filter { it.notFinite == 0 }
    }

    /**
     * The face in a box of yours: about the smallest box around the landmarks, not a detector's own convention. It is
     * none where its `notFinite` is above 0, which the other two leave out.
     */
    fun inBox(pixels: IntArray, width: Int, height: Int, box: Box): Face =
        landmarks.look(ArgbPicture(width, height, pixels), box)

    /**
     * The faces of the next frame of a film, followed and smoothed; the detector looks seldom.
     *
     * @param seconds when the frame was taken, by any clock that only goes forward.
     */
    fun inFilm(pixels: IntArray, width: Int, height: Int, seconds: Double): List<TrackedFace> {
        val picture = ArgbPicture(width, height, pixels)
        return tracker.update(picture, seconds) { landmarks.look(picture, it) }
    }

    /** Another film begins. */
    fun restart() = tracker.reset()

    override fun close() {
        engine.second.close()
        detector.close()
    }

    private fun network(content: ByteBuffer, weights: BlazeFaceWeights, threads: Int) =
        BlazeFace(CpuNetwork(weights.file, content, threads), weights)
}
