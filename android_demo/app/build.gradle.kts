plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.asmnetkit.demo"
    compileSdk = 34

    defaultConfig {
        applicationId = "org.asmnetkit.demo"
        minSdk = 26
        targetSdk = 34
        versionCode = 1
        versionName = "0.1.0"
        ndk {
            abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64")
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles("proguard-rules.pro")
            signingConfig = signingConfigs.getByName("debug")
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

    // Models are mapped into memory: they stay uncompressed. Put yours into src/main/assets/models/.
    androidResources {
        noCompress += "tflite"
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.litert.gpu.api)
    testImplementation(libs.junit4)
    testImplementation(libs.robolectric)
}
