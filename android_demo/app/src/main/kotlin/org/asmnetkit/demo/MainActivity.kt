package org.asmnetkit.demo

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.ComponentCallbacks2
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import android.widget.Toast
import java.io.IOException
import java.util.concurrent.Executors
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.ModelException

/** The screen: shows what the controller tells, and tells it what is touched. */
class MainActivity : Activity() {
    private val models by lazy { Models(this) }
    private val settings by lazy { Settings(this) }
    private val main = Handler(Looper.getMainLooper())
    private val files = Executors.newSingleThreadExecutor() // reads and writes files, which may take minutes
    private val back by lazy { BackToCamera(this, ::backToCamera) }
    private lateinit var controller: DemoController
    private lateinit var faceView: FaceView
    private lateinit var status: TextView
    private lateinit var photoButton: Button
    private lateinit var allowButton: Button
    private lateinit var working: View
    private var mode: Mode = Mode.Starting
    private var photo: Uri? = null // shown instead of the camera
    private var asked = false
    private var released = true // camera and model: in the background, and for the benchmark

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        findViewById<View>(R.id.overlay).addSystemBarsToPadding()
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
        faceView = findViewById(R.id.face)
        status = findViewById(R.id.status)
        photoButton = findViewById(R.id.photo)
        allowButton = findViewById(R.id.allow)
        working = findViewById(R.id.working)
        controller = DemoController(
            context = this,
            models = models,
            factory = engines,
            finders = finders,
            cameras = cameras,
            displayDegrees = { 90 * displayRotation(this) },
            onState = ::show,
            onScene = { faceView.scene = it },
        )
        faceView.onTouched = ::touched
        faceView.onDrawn = controller::shown
        onClick(R.id.face, ::goOn)
        onClick(R.id.switch_camera, ::switchCamera)
        onClick(R.id.photo, ::photoOrCamera)
        onClick(R.id.model, ::chooseModel)
        onClick(R.id.backend, ::chooseBackend)
        onClick(R.id.benchmark, ::benchmark)
        onClick(R.id.share, ::share)
        onClick(R.id.allow, ::allowCamera)
        savedInstanceState?.getString(PHOTO)?.let { openPhoto(Uri.parse(it)) }
    }

    override fun onStart() {
        super.onStart()
        if (released) {
            released = false
            loadModel(settings.modelName)
        }
        if (photo == null) startCamera()
    }

    /** An app in the background gives the camera to others, and its memory: the model is loaded in a moment. */
    override fun onStop() {
        released = true
        controller.release()
        super.onStop()
    }

    override fun onDestroy() {
        back.close()
        files.shutdownNow()
        controller.close()
        super.onDestroy()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putBoolean(ASKED, asked)
        outState.putString(PHOTO, photo?.toString())
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
        if (photo != null) return
        if (hasPermission()) startCamera() else controller.noPermission()
    }

    @Deprecated("The newer way is in androidx, which this app does without")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            PICK_PHOTO -> openPhoto(uri)
            PICK_MODEL -> importModel(uri)
        }
    }

    /** Before Android 13; newer ones ask [back]. */
    @Deprecated("Newer phones ask the callback instead")
    @Suppress("DEPRECATION")
    override fun onBackPressed() {
        if (photo != null) backToCamera() else super.onBackPressed()
    }

    private fun openPhoto(uri: Uri) {
        showPhotoMode(uri)
        controller.openPhoto(uri) {
            toast(getString(R.string.photo_error, it))
            if (photo == uri) backToCamera()
        }
    }

    private fun importModel(uri: Uri) = inBackground({ models.import(uri) }) { result ->
        result.onSuccess(::loadModel).onFailure { alert(it.message.orEmpty()) }
    }

    /** Work with files away from the main thread; [done] is told on it, unless this screen is gone. */
    private fun <T> inBackground(work: () -> T, done: (Result<T>) -> Unit) {
        working.visibility = View.VISIBLE
        files.execute {
            val result = try {
                Result.success(work())
            } catch (error: ModelException) {
                Result.failure(error)
            } catch (error: IOException) {
                Result.failure(error)
            }
            main.post {
                if (!isDestroyed) {
                    working.visibility = View.GONE
                    done(result)
                }
            }
        }
    }

    private fun startCamera() {
        if (hasPermission()) return controller.startCamera(settings.front)
        if (asked) return controller.noPermission() // asking again and again would be a trap
        askForPermission()
    }

    private fun askForPermission() {
        asked = true
        requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
    }

    /** The way on after a refusal: Android's own question where it may still be asked, else its settings. */
    private fun allowCamera() {
        if (shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) return askForPermission()
        startActivity(Intent(ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))
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
        backToCamera()
    }

    private fun photoOrCamera() {
        if (photo != null) backToCamera() else pick("image/*", PICK_PHOTO)
    }

    private fun backToCamera() {
        showPhotoMode(null)
        startCamera()
    }

    private fun showPhotoMode(shown: Uri?) {
        photo = shown
        back.enabled = shown != null
        photoButton.setText(if (shown != null) R.string.back_to_camera else R.string.open_photo)
        photoButton.contentDescription = getString(if (shown != null) R.string.back_to_camera_label else R.string.open_photo_label)
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
        val picture = screenshot()
        inBackground({ ScreenshotProvider.store(this, picture) }) { result ->
            result.onSuccess(::shareWithOthers).onFailure { toast(getString(R.string.share_error, it.message)) }
        }
    }

    private fun shareWithOthers(uri: Uri) {
        val send = Intent(Intent.ACTION_SEND)
            .setType(ScreenshotProvider.TYPE)
            .putExtra(Intent.EXTRA_STREAM, uri)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(send, getString(R.string.share_label)))
    }

    /** The whole window but the buttons: the picture with its landmarks, and the figures. */
    private fun screenshot(): Bitmap {
        val bitmap = Bitmap.createBitmap(faceView.width, faceView.height, Bitmap.Config.ARGB_8888)
        val origin = IntArray(2).also(faceView::getLocationInWindow)
        Canvas(bitmap).apply {
            drawColor(getColor(R.color.background))
            for (view in listOf<View>(faceView, status)) {
                val at = IntArray(2).also(view::getLocationInWindow)
                save()
                translate((at[0] - origin[0]).toFloat(), (at[1] - origin[1]).toFloat())
                view.draw(this)
                restore()
            }
        }
        return bitmap
    }

    /** Take up what low memory or another app has stopped: nothing of a photo is. */
    private fun goOn() {
        if (mode is Mode.LowMemory || mode is Mode.CameraError || mode is Mode.NoCamera) startCamera()
    }

    private fun touched(x: Double, y: Double) {
        val scene = faceView.scene ?: return
        controller.pointAt(x, y, scene.bitmap.width, scene.bitmap.height)
    }

    private fun show(state: UiState) {
        mode = state.mode
        status.text = describe(this, state)
        allowButton.visibility = if (mode is Mode.NoPermission) View.VISIBLE else View.GONE
        // A film needs the screen; a photo and an error do not.
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (mode is Mode.Camera) window.addFlags(flag) else window.clearFlags(flag)
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
        private const val PHOTO = "photo"

        /** Tests put their own here; no Android library and no camera runs on their machine. */
        var engines: EngineFactory = phoneEngines
        var finders: (Context) -> FaceFinder = ::openDetector
        var cameras: (Context, Handler) -> Cameras = ::AndroidCameras
    }
}

/** Surface.ROTATION_* of the display that [context] is on, which need not be the phone's own. */
@Suppress("DEPRECATION") // the newer form needs API 30, and a context that is sure of its display
fun displayRotation(context: Context): Int = context.getSystemService(WindowManager::class.java).defaultDisplay.rotation
