// Landmarks and head pose of one face, with LiteRT's C API and nothing else.
//
//   landmarks MODEL.tflite PICTURE.ppm X0 Y0 X1 Y1
//
// PICTURE is a binary PPM (P6); the box is in pixels, (0, 0) the centre of the top-left pixel. Prints
// "x y" of each landmark in pixels of the picture, then yaw, pitch and roll in degrees.
// docs/integrate.md says what each step follows.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "litert_c.h"

namespace {

struct Picture {
  int width = 0, height = 0;
  std::vector<float> rgb;  // height x width x 3, 0 to 255

  // Black outside.
  float at(int x, int y, int channel) const {
    if (x < 0 || y < 0 || x >= width || y >= height) return 0.0f;
    return rgb[(static_cast<size_t>(y) * width + x) * 3 + channel];
  }
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);
}

void check(LiteRtStatus status, const char* step) {
  if (status != 0) fail(std::string(step) + ": LiteRT answers " + std::to_string(status));
}

Picture read_ppm(const char* path) {
  Picture picture;
  int most = 0;
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) fail(std::string(path) + ": cannot be opened");
  const bool is_ppm =
      std::fscanf(file, "P6 %d %d %d", &picture.width, &picture.height, &most) == 3 &&
      std::fgetc(file) != EOF && most == 255 && picture.width > 0 && picture.height > 0 &&
      picture.width < 1 << 15 && picture.height < 1 << 15;
  if (!is_ppm) fail(std::string(path) + ": expected a binary PPM (P6) with 255 levels");
  std::vector<uint8_t> bytes(static_cast<size_t>(picture.width) * picture.height * 3);
  if (std::fread(bytes.data(), 1, bytes.size(), file) != bytes.size())
    fail(std::string(path) + ": the file ends too early");
  std::fclose(file);
  picture.rgb.assign(bytes.begin(), bytes.end());
  return picture;
}

// Half as large, each pixel the mean of 2 x 2.
Picture halved(const Picture& large) {
  Picture small;
  small.width = (large.width + 1) / 2;
  small.height = (large.height + 1) / 2;
  for (int y = 0; y < small.height; ++y)
    for (int x = 0; x < small.width; ++x)
      for (int c = 0; c < 3; ++c)
        small.rgb.push_back((large.at(2 * x, 2 * y, c) + large.at(2 * x + 1, 2 * y, c) +
                             large.at(2 * x, 2 * y + 1, c) + large.at(2 * x + 1, 2 * y + 1, c)) /
                            4);
  return small;
}

// The square around (x, y) with this side, as size x size pixels. Halves first where sampling
// would skip pixels.
std::vector<float> crop(Picture picture, double x, double y, double side, int size) {
  while (size / side < 0.5) {
    picture = halved(picture);
    x = (x - 0.5) / 2;
    y = (y - 0.5) / 2;
    side /= 2;
  }
  std::vector<float> cut;
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column) {
      const double px = x + (column - (size - 1) / 2.0) * side / size;
      const double py = y + (row - (size - 1) / 2.0) * side / size;
      const int left = static_cast<int>(std::floor(px)), top = static_cast<int>(std::floor(py));
      const double right = px - left, down = py - top;
      for (int c = 0; c < 3; ++c)
        cut.push_back(static_cast<float>(
            (1 - down) * ((1 - right) * picture.at(left, top, c) +
                          right * picture.at(left + 1, top, c)) +
            down * ((1 - right) * picture.at(left, top + 1, c) +
                    right * picture.at(left + 1, top + 1, c))));
    }
  return cut;
}

// "crop": {"scale": ...} of the JSON that the kit writes into the model. A program for one model can
// have the number as a constant.
double crop_scale(LiteRtModel model) {
  const void* bytes;
  size_t size;
  check(LiteRtGetModelMetadata(model, "ASMNET_KIT", &bytes, &size), "the kit's metadata");
  const std::string json(static_cast<const char*>(bytes), size);
  const size_t at = json.find("\"scale\":", json.find("\"crop\":"));
  const double scale = at == std::string::npos ? 0 : std::strtod(json.c_str() + at + 8, nullptr);
  if (!(scale > 0)) fail("expected \"crop\": {\"scale\": ...} in the model's metadata");
  return scale;
}

}  // namespace

int main(int count, char** words) {
  if (count != 7) fail("expected: landmarks MODEL.tflite PICTURE.ppm X0 Y0 X1 Y1");
  double box[4];
  for (int i = 0; i < 4; ++i) box[i] = std::strtod(words[3 + i], nullptr);
  const double x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2;
  if (!(box[0] < box[2] && box[1] < box[3])) fail("expected a box with X0 < X1 and Y0 < Y1");
  const Picture picture = read_ppm(words[2]);

  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  LiteRtSignature signature;
  check(LiteRtCreateEnvironment(0, nullptr, &environment), "environment");
  check(LiteRtCreateModelFromFile(environment, words[1], &model), words[1]);
  const double side = crop_scale(model) * std::max(box[2] - box[0], box[3] - box[1]);
  check(LiteRtCreateOptions(&options), "options");
  check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu), "accelerator");
  check(LiteRtCreateCompiledModel(environment, model, options, &compiled), "compile");
  check(LiteRtGetModelSignature(model, 0, &signature), "signature");

  LiteRtTensor tensor;
  LiteRtRankedTensorType type;
  LiteRtTensorBufferRequirements needs;
  LiteRtTensorBuffer input;
  void* memory;
  check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor), "input");
  check(LiteRtGetRankedTensorType(tensor, &type), "input's type");
  check(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needs), "input's needs");
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &input),
        "input's memory");
  const std::vector<float> values = crop(picture, x, y, side, type.layout.dimensions[1]);
  check(LiteRtLockTensorBuffer(input, &memory, kLiteRtTensorBufferLockModeWrite), "lock");
  for (size_t i = 0; i < values.size(); ++i)
    if (type.element_type == kLiteRtElementTypeInt8)
      static_cast<int8_t*>(memory)[i] = static_cast<int8_t>(std::lround(values[i]) - 128);
    else
      static_cast<float*>(memory)[i] = (values[i] - 128) / 128;
  check(LiteRtUnlockTensorBuffer(input), "unlock");

  size_t number;
  check(LiteRtGetNumSignatureOutputs(signature, &number), "outputs");
  std::vector<LiteRtTensorBuffer> outputs(number);
  for (size_t i = 0; i < number; ++i) {
    check(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor), "output");
    check(LiteRtGetRankedTensorType(tensor, &type), "output's type");
    check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, i, &needs), "output's needs");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, &outputs[i]),
          "output's memory");
  }

  check(LiteRtRunCompiledModel(compiled, 0, 1, &input, number, outputs.data()), "run");

  std::map<std::string, std::vector<double>> answers;  // by name: their order is not fixed
  for (size_t i = 0; i < number; ++i) {
    const char* name;
    LiteRtQuantizationPerTensor levels = {1.0f, 0};
    check(LiteRtGetSignatureOutputName(signature, i, &name), "output's name");
    check(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor), "output");
    check(LiteRtGetRankedTensorType(tensor, &type), "output's type");
    if (type.element_type == kLiteRtElementTypeInt8)
      check(LiteRtGetPerTensorQuantization(tensor, &levels), "output's scale");
    check(LiteRtLockTensorBuffer(outputs[i], &memory, kLiteRtTensorBufferLockModeRead), "lock");
    for (int j = 0; j < type.layout.dimensions[1]; ++j)
      answers[name].push_back(type.element_type == kLiteRtElementTypeInt8
                                  ? levels.scale * (static_cast<int8_t*>(memory)[j] -
                                                    static_cast<double>(levels.zero_point))
                                  : static_cast<float*>(memory)[j]);
    check(LiteRtUnlockTensorBuffer(outputs[i]), "unlock");
    LiteRtDestroyTensorBuffer(outputs[i]);
  }
  LiteRtDestroyTensorBuffer(input);
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);

  const std::vector<double>& landmarks = answers["landmarks"];
  for (size_t i = 0; i + 1 < landmarks.size(); i += 2)
    std::printf("%.2f %.2f\n", x + side * landmarks[i], y + side * landmarks[i + 1]);
  const std::vector<double>& pose = answers["pose"];
  if (pose.size() == 3)
    std::printf("yaw %.2f pitch %.2f roll %.2f\n", 90 * pose[0], 90 * pose[1], 90 * pose[2]);
}
