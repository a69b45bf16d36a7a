package org.asmnetkit.demo

import android.content.Context
import java.io.IOException
import org.asmnetkit.core.BlazeFace
import org.asmnetkit.core.BlazeFaceWeights
import org.asmnetkit.core.FaceDetector
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.oneLine
import org.asmnetkit.cpu.CpuNetwork

/**
 * The kit's face detector, by the CPU engine; to be used and closed on one thread.
 *
 * @throws ModelException it cannot be loaded here.
 */
fun openDetector(context: Context): FaceFinder {
    fun network(weights: BlazeFaceWeights) =
        BlazeFace(CpuNetwork(weights.file, asset(context, weights.file), DETECTOR_THREADS), weights)
    try {
        val search = network(BlazeFaceWeights.SHORT_RANGE)
        try {
            return FaceDetector(search, network(BlazeFaceWeights.FULL_RANGE))
        } catch (error: Throwable) { // whatever it is, native memory must not leak
            search.close()
            throw error
        }
    } catch (error: IOException) {
        throw ModelException("the face detector cannot be read: ${oneLine(error)}", error)
    } catch (error: LinkageError) {
        throw ModelException("the face detector cannot be loaded on this device: ${oneLine(error)}", error)
    }
}

private const val DETECTOR_THREADS = 2
