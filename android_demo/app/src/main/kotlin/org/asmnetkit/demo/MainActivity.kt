package org.asmnetkit.demo

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.ComponentCallbacks2
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.hardware.display.DisplayManager
import android.os.Bundle
import android.view.Display
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import android.widget.Toast
import java.io.IOException
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.ModelException

/** The screen: shows what the controller tells, and tells it what is touched. */
class MainActivity : Activity() {
    private val models by lazy { Models(this) }
    private val settings by lazy { Settings(this) }
    private lateinit var controller: DemoController
    private lateinit var faceView: FaceView
    private lateinit var status: TextView
    private lateinit var photoButton: Button
    private var showsPhoto = false
    private var asked = false
    private var released = false // camera and model, for the benchmark

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
        faceView = findViewById(R.id.face)
        status = findViewById(R.id.status)
        photoButton = findViewById(R.id.photo)
        val display = getSystemService(DisplayManager::class.java).getDisplay(Display.DEFAULT_DISPLAY)
        controller = DemoController(
            context = this,
            models = models,
            factory = engines,
            displayDegrees = { 90 * display.rotation },
            onState = ::show,
            onScene = { faceView.scene = it },
        )
        faceView.onTouched = ::touched
        onClick(R.id.face, ::goOn)
        onClick(R.id.switch_camera, ::switchCamera)
        onClick(R.id.photo, ::photoOrCamera)
        onClick(R.id.model, ::chooseModel)
        onClick(R.id.backend, ::chooseBackend)
        onClick(R.id.benchmark, ::benchmark)
        onClick(R.id.share, ::share)
        loadModel(settings.modelName)
    }

    override fun onStart() {
        super.onStart()
        if (released) {
            released = false
            loadModel(settings.modelName)
        }
        if (!showsPhoto) startCamera()
    }

    override fun onStop() {
        controller.stopCamera()
        super.onStop()
    }

    override fun onDestroy() {
        controller.close()
        super.onDestroy()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putBoolean(ASKED, asked)
    }

    // The levels between are told no more since Android 14; they are still before.
    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        @Suppress("DEPRECATION")
        if (level == ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL || level >= ComponentCallbacks2.TRIM_MEMORY_MODERATE) {
            controller.lowMemory()
        }
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<out String>, grantResults: IntArray) {
        super.onRequestPermissionsResult(requestCode, permissions, grantResults)
        if (hasPermission()) startCamera() else controller.noPermission()
    }

    @Deprecated("The newer way is in androidx, which this app does without")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            PICK_PHOTO -> {
                showPhotoMode(true)
                controller.openPhoto(uri) {
                    toast(getString(R.string.photo_error, it))
                    showPhotoMode(false)
                    startCamera()
                }
            }
            PICK_MODEL -> try {
                loadModel(models.import(uri))
            } catch (error: ModelException) {
                alert(error.message.orEmpty())
            }
        }
    }

    private fun startCamera() {
        if (hasPermission()) return controller.startCamera(settings.front)
        if (asked) return controller.noPermission() // asking again and again would be a trap
        asked = true
        requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
    }

    private fun hasPermission() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun loadModel(wanted: String?) {
        try {
            val name = wanted?.takeIf { it in models.names() } ?: models.first()
            settings.modelName = name
            controller.use(name, settings.backend)
        } catch (error: ModelException) {
            status.text = error.message
        }
    }

    private fun switchCamera() {
        settings.front = !settings.front
        showPhotoMode(false)
        startCamera()
    }

    private fun photoOrCamera() {
        if (showsPhoto) {
            showPhotoMode(false)
            startCamera()
        } else {
            pick("image/*", PICK_PHOTO)
        }
    }

    private fun showPhotoMode(photo: Boolean) {
        showsPhoto = photo
        photoButton.setText(if (photo) R.string.back_to_camera else R.string.open_photo)
        photoButton.contentDescription = getString(if (photo) R.string.back_to_camera_label else R.string.open_photo_label)
    }

    private fun chooseModel() {
        val names = models.names()
        AlertDialog.Builder(this)
            .setTitle(R.string.choose_model_label)
            .setSingleChoiceItems(names.toTypedArray(), names.indexOf(settings.modelName)) { dialog, which ->
                dialog.dismiss()
                loadModel(names[which])
            }
            .setNeutralButton(R.string.pick_model) { _, _ -> pick("*/*", PICK_MODEL) }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    private fun chooseBackend() {
        val labels = BACKENDS.map { it.label(this) }.toTypedArray()
        AlertDialog.Builder(this)
            .setTitle(R.string.choose_backend_label)
            .setSingleChoiceItems(labels, BACKENDS.indexOf(settings.backend)) { dialog, which ->
                dialog.dismiss()
                settings.backend = BACKENDS[which]
                loadModel(settings.modelName)
            }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    /** Beside a running camera and a second model the figures would be of all three. */
    private fun benchmark() {
        val backend = settings.backend
        val intent = Intent(this, BenchmarkActivity::class.java)
            .putExtra(BenchmarkActivity.MODEL, settings.modelName)
            .putExtra(BenchmarkActivity.DELEGATE, backend.accelerator.id)
            .putExtra(BenchmarkActivity.THREADS, backend.threads)
        controller.release {
            released = true
            startActivity(intent)
        }
    }

    private fun share() {
        if (faceView.scene == null) return toast(getString(R.string.nothing_to_share))
        try {
            val uri = ScreenshotProvider.store(this, screenshot())
            val send = Intent(Intent.ACTION_SEND)
                .setType(ScreenshotProvider.TYPE)
                .putExtra(Intent.EXTRA_STREAM, uri)
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
            startActivity(Intent.createChooser(send, getString(R.string.share_label)))
        } catch (error: IOException) {
            toast(getString(R.string.share_error, error.message))
        }
    }

    /** The whole window but the buttons: the picture with its landmarks, and the figures. */
    private fun screenshot(): Bitmap {
        val bitmap = Bitmap.createBitmap(faceView.width, status.bottom, Bitmap.Config.ARGB_8888)
        Canvas(bitmap).apply {
            drawColor(getColor(R.color.background))
            for (view in listOf<View>(faceView, status)) {
                save()
                translate(view.left.toFloat(), view.top.toFloat())
                view.draw(this)
                restore()
            }
        }
        return bitmap
    }

    /** Take up what low memory has paused: nothing of a photo is. */
    private fun goOn() {
        if (status.tag is Mode.LowMemory) startCamera()
    }

    private fun touched(x: Double, y: Double) {
        val scene = faceView.scene ?: return
        controller.pointAt(x, y, scene.bitmap.width, scene.bitmap.height)
    }

    private fun show(state: UiState) {
        status.tag = state.mode
        status.text = describe(this, state)
    }

    private fun pick(type: String, code: Int) =
        startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type), code)

    private fun onClick(id: Int, action: () -> Unit) = findViewById<View>(id).setOnClickListener { action() }

    private fun toast(text: String) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    private fun alert(text: String) {
        AlertDialog.Builder(this).setMessage(text).setPositiveButton(android.R.string.ok, null).show()
    }

    companion object {
        private const val PICK_PHOTO = 1
        private const val PICK_MODEL = 2
        private const val ASKED = "asked"

        /** Tests put an engine of their own here; no Android library runs on their machine. */
        var engines: EngineFactory = LiteRtEngine.Factory
    }
}
