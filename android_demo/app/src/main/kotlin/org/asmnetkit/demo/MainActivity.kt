package org.asmnetkit.demo

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.ComponentCallbacks2
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.provider.Settings.ACTION_APPLICATION_DETAILS_SETTINGS
import android.view.Gravity
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import android.widget.Toast
import java.io.IOException
import java.util.concurrent.Executors
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile

/** The screen: shows what the controller tells, and tells it what is touched. */
class MainActivity : Activity() {
    private val models by lazy { Models(this) }
    private val settings by lazy { Settings(this) }
    private val main = Handler(Looper.getMainLooper())
    private val files = Executors.newSingleThreadExecutor() // reads and writes files, which may take minutes
    private val back by lazy { BackToCamera(this, ::backToCamera) }
    private lateinit var controller: DemoController
    private lateinit var faceView: FaceView
    private lateinit var overlay: LinearLayout
    private lateinit var words: View
    private lateinit var bar: LinearLayout
    private lateinit var sparkline: SparklineView
    private lateinit var openButton: Button
    private lateinit var working: View
    private var systemBars = listOf(0, 0, 0, 0)
    private var isLabelled = true
    private var wayOn: () -> Unit = {} // what the message's button does
    private var mode: Mode = Mode.Starting
    private var shown: Uri? = null // a photo or a film instead of the camera
    private var asked = false
    private var released = true // camera and model: in the background, and for the benchmark

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        asked = savedInstanceState?.getBoolean(ASKED) ?: false
        faceView = findViewById(R.id.face)
        overlay = findViewById(R.id.overlay)
        words = findViewById(R.id.words)
        bar = findViewById(R.id.bar)
        sparkline = findViewById(R.id.sparkline)
        openButton = findViewById(R.id.open)
        working = findViewById(R.id.working)
        overlay.setOnApplyWindowInsetsListener { _, insets ->
            systemBars = systemBars(insets)
            layOut(resources.configuration)
            insets
        }
        layOut(resources.configuration)
        controller = DemoController(
            context = this,
            models = models,
            factory = { model, backend -> opened(model, backend) },
            finders = finders,
            cameras = cameras,
            films = films,
            displayDegrees = { 90 * displayRotation(this) },
            onState = ::show,
            onScene = { faceView.scene = it },
        )
        faceView.onTouched = ::touched
        faceView.onDrawn = controller::shown
        onClick(R.id.face, ::goOn)
        onClick(R.id.switch_camera, ::switchCamera)
        onClick(R.id.open, ::openOrCamera)
        onClick(R.id.model, ::chooseModel)
        onClick(R.id.backend, ::chooseBackend)
        onClick(R.id.compare, ::compare)
        onClick(R.id.share, ::share)
        onClick(R.id.message_button) { wayOn() }
        if (settings.isOpening && !isOpening) leaveAccelerator()
        savedInstanceState?.getString(SHOWN)?.let { open(Uri.parse(it)) }
    }

    /** A driver that ends the app while it loads a model would do so at every start: what is asked for is marked before. */
    private fun opened(model: ModelFile, backend: Backend): Engine {
        if (backend.accelerator == Accelerator.CPU) return engines.open(model, backend)
        isOpening = true
        settings.isOpening = true
        try {
            return engines.open(model, backend)
        } finally {
            settings.isOpening = false
            isOpening = false
        }
    }

    private fun leaveAccelerator() {
        settings.isOpening = false
        toast(getString(R.string.backend_ended, settings.backend.label(this)))
        settings.backend = BACKENDS.first()
    }

    override fun onConfigurationChanged(newConfig: Configuration) {
        super.onConfigurationChanged(newConfig)
        layOut(newConfig)
    }

    /** The bar below the words in portrait and beside them in landscape, both off the system's bars. */
    private fun layOut(configuration: Configuration) {
        val beside = configuration.screenWidthDp > configuration.screenHeightDp
        val match = LinearLayout.LayoutParams.MATCH_PARENT
        val wrap = LinearLayout.LayoutParams.WRAP_CONTENT
        overlay.orientation = if (beside) LinearLayout.HORIZONTAL else LinearLayout.VERTICAL
        words.layoutParams = if (beside) LinearLayout.LayoutParams(0, match, 1f) else LinearLayout.LayoutParams(match, 0, 1f)
        bar.orientation = if (beside) LinearLayout.VERTICAL else LinearLayout.HORIZONTAL
        bar.layoutParams = if (beside) LinearLayout.LayoutParams(wrap, match) else LinearLayout.LayoutParams(match, wrap)
        for (index in 0 until bar.childCount) {
            bar.getChildAt(index).layoutParams =
                if (beside) LinearLayout.LayoutParams(match, wrap) else LinearLayout.LayoutParams(0, wrap, 1f)
        }
        bar.gravity = Gravity.CENTER
        val (left, top, right, bottom) = systemBars
        val mirrored = configuration.layoutDirection == View.LAYOUT_DIRECTION_RTL
        val margin = (MARGIN_DP * resources.displayMetrics.density).toInt()
        val besideLeft = beside && mirrored
        val besideRight = beside && !mirrored
        words.setPadding(
            margin + if (besideLeft) 0 else left,
            margin + top,
            margin + if (besideRight) 0 else right,
            margin + if (beside) bottom else 0,
        )
        bar.setPadding(if (besideRight) 0 else left, if (beside) top else 0, if (besideLeft) 0 else right, bottom)
        findViewById<View>(R.id.behind_bars).apply { layoutParams = layoutParams.apply { height = top } }
        // The icons alone where the words under them would not fit; screen readers have words in any case.
        val narrow = minOf(configuration.screenWidthDp, configuration.screenHeightDp) / configuration.fontScale
        val labels = listOf(R.id.switch_camera to R.string.switch_camera, R.id.compare to R.string.compare, R.id.share to R.string.share)
        isLabelled = narrow >= LABELLED_FROM_DP
        for ((id, label) in labels) findViewById<Button>(id).text = if (isLabelled) getString(label) else ""
        labelOpenButton()
    }

    override fun onStart() {
        super.onStart()
        if (released) {
            released = false
            loadModel(settings.modelName)
        }
        if (shown == null) startCamera()
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
        outState.putString(SHOWN, shown?.toString())
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
        if (shown != null) return
        if (hasPermission()) startCamera() else controller.say(Mode.NoPermission)
    }

    @Deprecated("The newer way is in androidx, which this app does without")
    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            PICK_PICTURE -> open(uri)
            PICK_MODEL -> importModel(uri)
        }
    }

    /** Before Android 13; newer ones ask [back]. */
    @Deprecated("Newer phones ask the callback instead")
    @Suppress("DEPRECATION")
    override fun onBackPressed() {
        if (shown != null) backToCamera() else super.onBackPressed()
    }

    private fun open(uri: Uri) {
        showInstead(uri)
        controller.open(uri) {
            toast(getString(R.string.photo_error, it))
            if (shown == uri) backToCamera()
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
        if (!settings.welcomed) return controller.say(Mode.Welcome) // a question without a reason is refused
        if (asked) return controller.say(Mode.NoPermission) // asking again and again would be a trap
        askForPermission()
    }

    private fun begin() {
        settings.welcomed = true
        startCamera()
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
            controller.sayNoModel(error.message.orEmpty())
        }
    }

    private fun switchCamera() {
        settings.front = !settings.front
        backToCamera()
    }

    private fun openOrCamera() {
        if (shown != null) backToCamera() else pickPicture()
    }

    private fun pickPicture() = pick("*/*", PICK_PICTURE, "image/*", "video/*")

    private fun backToCamera() {
        showInstead(null)
        startCamera()
    }

    private fun showInstead(uri: Uri?) {
        shown = uri
        back.enabled = uri != null
        sparkline.clear()
        labelOpenButton()
    }

    private fun labelOpenButton() {
        val isOpen = shown != null
        openButton.contentDescription = getString(if (isOpen) R.string.back_to_camera_label else R.string.open_label)
        openButton.setCompoundDrawablesRelativeWithIntrinsicBounds(0, if (isOpen) R.drawable.ic_camera else R.drawable.ic_open, 0, 0)
        openButton.text = if (isLabelled) getString(if (isOpen) R.string.back_to_camera else R.string.open) else ""
    }

    private fun chooseModel() = inBackground({ models.choices() }) { result ->
        result.onSuccess { choices ->
            ModelPicker(this, choices, settings.modelName, onChosen = ::loadModel, onFile = { pick("*/*", PICK_MODEL) }).show()
        }
    }

    private fun chooseBackend() {
        val labels = BACKENDS.map {
            if (it.accelerator == Accelerator.NNAPI) getString(R.string.backend_nnapi_old) else it.label(this)
        }.toTypedArray()
        AlertDialog.Builder(this)
            .setTitle(R.string.backend_title)
            .setSingleChoiceItems(labels, BACKENDS.indexOf(settings.backend)) { dialog, which ->
                dialog.dismiss()
                settings.backend = BACKENDS[which]
                loadModel(settings.modelName)
            }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    /** Beside a running camera and a second model the figures would be of all three. */
    private fun compare() = controller.release {
        if (!released) startActivity(Intent(this, CompareActivity::class.java)) // once, however often it was touched meanwhile
        released = true
    }

    private fun share() {
        if (faceView.scene == null) return toast(getString(R.string.nothing_to_share))
        val picture = screenshot()
        inBackground({ SharedFiles.store(this, SharedFiles.PICTURE, picture) }) { result ->
            result.onSuccess(::shareWithOthers).onFailure { toast(getString(R.string.share_error, it.message)) }
        }
    }

    private fun shareWithOthers(uri: Uri) {
        val send = Intent(Intent.ACTION_SEND)
            .setType(SharedFiles.PICTURE.type)
            .putExtra(Intent.EXTRA_STREAM, uri)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(send, getString(R.string.share_label)))
    }

    /** The whole window but the buttons: the picture with its landmarks, and the figures. */
    private fun screenshot(): Bitmap {
        val bitmap = Bitmap.createBitmap(faceView.width, faceView.height, Bitmap.Config.ARGB_8888)
        val origin = IntArray(2).also(faceView::getLocationInWindow)
        Canvas(bitmap).apply {
            drawColor(getColor(R.color.ground))
            for (view in listOf(faceView, words)) {
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
        val words = describe(this, state, isBrief = !isLabelled)
        val title = models.titleOf(state.modelName)
        chip(R.id.model, title.ifEmpty { getString(R.string.choose_model) })
            .contentDescription = getString(R.string.choose_model_label, title)
        chip(R.id.backend, words.backend).apply {
            contentDescription = getString(R.string.choose_backend_label, words.backend)
            setTextColor(getColor(if (state.refusal == null) R.color.ink else R.color.bad))
        }
        chip(R.id.speed, words.speed)
        findViewById<View>(R.id.speed_chip).showIf(words.speed != null)
        chip(R.id.stages, words.stages)
        val isMoving = mode is Mode.Camera || mode is Mode.Film
        sparkline.showIf(isMoving && isLabelled)
        if (!isMoving) sparkline.clear() else if (state.faces > 0) state.speed?.let { sparkline.add(it.totalMs) }
        chip(R.id.status, words.status)
        findViewById<View>(R.id.message_card).showIf(words.message != null)
        if (words.message != null) findViewById<TextView>(R.id.message).text = words.message
        val way = wayOnFrom(mode)
        findViewById<Button>(R.id.message_button).apply {
            showIf(way != null)
            way?.let { (label, action) ->
                setText(label)
                wayOn = action
            }
        }
        // A film needs the screen; a photo and an error do not.
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (isMoving) window.addFlags(flag) else window.clearFlags(flag)
    }

    private fun wayOnFrom(mode: Mode): Pair<Int, () -> Unit>? = when (mode) {
        Mode.Welcome -> Pair(R.string.welcome_button, ::begin)
        Mode.NoPermission -> Pair(R.string.allow, ::allowCamera)
        Mode.NoCamera -> Pair(R.string.open, ::pickPicture)
        Mode.LowMemory -> Pair(R.string.go_on, ::startCamera)
        is Mode.CameraError -> Pair(R.string.try_again, ::startCamera)
        is Mode.ModelError -> Pair(R.string.choose_model, ::chooseModel)
        Mode.Starting, Mode.Camera, Mode.Film, Mode.Photo -> null
    }

    /** A view's text, which is not set anew where it is the same: a screen reader would say it again. */
    private fun chip(id: Int, text: String?): TextView = findViewById<TextView>(id).apply {
        if (text != null && text != this.text.toString()) this.text = text
        showIf(text != null)
    }

    private fun View.showIf(yes: Boolean) {
        visibility = if (yes) View.VISIBLE else View.GONE
    }

    private fun pick(type: String, code: Int, vararg types: String) {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type)
        if (types.isNotEmpty()) intent.putExtra(Intent.EXTRA_MIME_TYPES, types)
        startActivityForResult(intent, code)
    }

    private fun onClick(id: Int, action: () -> Unit) = findViewById<View>(id).setOnClickListener { action() }

    private fun toast(text: String) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    private fun alert(text: String) {
        AlertDialog.Builder(this).setMessage(text).setPositiveButton(android.R.string.ok, null).show()
    }

    companion object {
        /** An accelerator is being opened by this very process. */
        @Volatile
        private var isOpening = false
        private const val PICK_PICTURE = 1
        private const val PICK_MODEL = 2
        private const val ASKED = "asked"
        private const val SHOWN = "shown"
        private const val MARGIN_DP = 8
        private const val LABELLED_FROM_DP = 300 // of the screen's shorter side, at the usual size of the font

        /** Tests put their own here; no Android library and no camera runs on their machine. */
        var engines: EngineFactory = phoneEngines
        var finders: (Context) -> FaceFinder = ::openDetector
        var cameras: (Context, Handler) -> Cameras = ::AndroidCameras
        var films: (Context, Uri) -> Film = AndroidFilm.Companion::open
    }
}

/** Surface.ROTATION_* of the display that [context] is on, which need not be the phone's own. */
@Suppress("DEPRECATION") // the newer form needs API 30, and a context that is sure of its display
fun displayRotation(context: Context): Int = context.getSystemService(WindowManager::class.java).defaultDisplay.rotation
