// Parsed and checked by `make android-test`, never run there: Google's Maven is not reachable.
plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.asmnetkit.demo"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "org.asmnetkit.demo"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.target.sdk.get().toInt()
        versionCode = libs.versions.app.version.code.get().toInt()
        versionName = libs.versions.app.version.name.get()
        ndk {
            abiFilters += listOf("arm64-v8a", "x86_64")
        }
    }

    // full: CPU, GPU and NNAPI. publishable: the CPU alone, every library for 16 KiB pages.
    flavorDimensions += "runtime"
    productFlavors {
        create("full") { dimension = "runtime" }
        create("publishable") { dimension = "runtime" }
    }

    buildTypes {
        // Not signed: a debug key would make an APK that looks like a release and is refused as its update.
        release {
            isMinifyEnabled = true
            proguardFiles("proguard-rules.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    kotlinOptions {
        jvmTarget = "1.8"
    }

    testOptions {
        unitTests {
            isIncludeAndroidResources = true
            all {
                // What make android-test makes: run that first, or make_test_inputs.py.
                val built = rootDir.resolve("../build/android")
                it.systemProperty("asmnetkit.inputs", built.resolve("models").path)
                it.systemProperty("asmnetkit.pictures", built.resolve("pictures").path)
                it.systemProperty("asmnetkit.reports", built.resolve("reports").path)
            }
        }
    }

    // For a compiler that no phone has, and of two JavaCPP libraries: packing would stop at the second.
    packaging {
        resources.excludes += "META-INF/native-image/**"
    }

    // The face detector's weights; the folder's other files do no harm.
    sourceSets["main"].assets.srcDir(rootDir.resolve("../toolkit/predict/blazeface"))

    // What the kit tells of its models, where the app looks for it.
    val cards = layout.buildDirectory.dir("cards")
    val copyCards = tasks.register<Copy>("copyCards") {
        from(rootDir.resolve("../toolkit/models")) { include("*.json") }
        into(cards.map { it.dir("cards") })
    }
    sourceSets["main"].assets.srcDir(cards)
    tasks.named("preBuild") { dependsOn(copyCards) }

    // Models are mapped into memory: they stay uncompressed. Put yours into src/main/assets/models/.
    androidResources {
        noCompress += "tflite"
    }
}

dependencies {
    implementation(project(":core"))
    implementation(project(":cpu"))
    for (abi in listOf("android-arm64", "android-x86_64")) {
        runtimeOnly(variantOf(libs.tflite.cpu) { classifier(abi) })
        runtimeOnly(variantOf(libs.javacpp) { classifier(abi) })
    }
    "fullImplementation"(libs.tflite)
    "fullImplementation"(libs.tflite.gpu)
    "fullImplementation"(libs.tflite.gpu.api)
    testImplementation(libs.junit4)
    testImplementation(libs.robolectric)
}
