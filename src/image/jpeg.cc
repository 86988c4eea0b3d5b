// JPEG by libjpeg-turbo's own interface: islow IDCT, fancy upsampling, straight to BGR, so that the bytes are those of
// cv2.imread.
//
// libjpeg is C and leaves by longjmp on errors, so the functions that call it hold no C++ objects of their own; what
// they report goes through JpegTrouble.
// clang-format off
#include <cstddef>
#include <cstdio>
#include <jpeglib.h>  // needs the two above
#include <jerror.h>   // needs jpeglib.h
// clang-format on

#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "image/codec.h"

namespace posefix::image {
namespace {

struct JpegTrouble {
  jpeg_error_mgr manager;  // first: libjpeg hands back a pointer to it
  std::jmp_buf exit;
  char fatal[JMSG_LENGTH_MAX];
  jpeg_source_mgr source;
  size_t size;        // bytes of the file
  bool ran_out;       // libjpeg asked for bytes past the end
  bool damaged;       // entropy-coded data that cannot be right
  size_t damaged_at;  // byte offset near the damage
};

JpegTrouble* trouble_of(j_common_ptr info) { return reinterpret_cast<JpegTrouble*>(info->err); }

void on_fatal(j_common_ptr info) {
  JpegTrouble* trouble = trouble_of(info);
  (*info->err->format_message)(info, trouble->fatal);
  std::longjmp(trouble->exit, 1);
}

void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace, not a warning
  JpegTrouble* trouble = trouble_of(info);
  ++info->err->num_warnings;
  const int code = info->err->msg_code;
  // Stray bytes before a marker (JWRN_EXTRANEOUS_DATA) occur in sound pictures of the common data sets.
  const bool bad_data = code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_ARITH_BAD_CODE ||
                        code == JWRN_MUST_RESYNC || code == JWRN_BOGUS_PROGRESSION;
  if (!bad_data || trouble->damaged) return;
  trouble->damaged = true;
  const auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  trouble->damaged_at = trouble->ran_out ? trouble->size : trouble->size - decoder->src->bytes_in_buffer;
}

void no_output(j_common_ptr) {}

// Past the end of the file libjpeg reads an end-of-image marker; whether something was missing shows in what follows.
boolean fill_past_end(j_decompress_ptr info) {
  static const JOCTET kEndOfImage[2] = {0xFF, JPEG_EOI};
  trouble_of(reinterpret_cast<j_common_ptr>(info))->ran_out = true;
  info->src->next_input_byte = kEndOfImage;
  info->src->bytes_in_buffer = 2;
  return TRUE;
}

void skip_input(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  auto left = static_cast<size_t>(count);
  if (left > info->src->bytes_in_buffer) {
    fill_past_end(info);
    return;
  }
  info->src->next_input_byte += left;
  info->src->bytes_in_buffer -= left;
}

void no_source_action(j_decompress_ptr) {}

void set_error_manager(JpegTrouble& trouble, size_t size) {
  std::memset(&trouble, 0, sizeof trouble);
  jpeg_std_error(&trouble.manager);
  trouble.manager.error_exit = on_fatal;
  trouble.manager.emit_message = on_message;
  trouble.manager.output_message = no_output;
  trouble.size = size;
}

// CMYK as JPEG files hold it (inverted, as Adobe writes it). Source: OpenCV's conversion, for equal bytes.
void cmyk_to_bgr(const JSAMPLE* cmyk, uint8_t* bgr, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4, bgr += 3) {
    const int k = cmyk[3];
    for (int channel = 0; channel < 3; ++channel) {
      bgr[2 - channel] = static_cast<uint8_t>(k - ((255 - cmyk[channel]) * k >> 8));
    }
  }
}

// What the decoder fills; owned by the caller.
struct DecodeTarget {
  Image* image;
  std::vector<JSAMPLE>* cmyk_row;
  bool multiple_scans;
};

struct Decompressor {
  jpeg_decompress_struct info{};
  ~Decompressor() { jpeg_destroy_decompress(&info); }
};

void prepare(j_decompress_ptr info, DecodeTarget& target) {
  const bool cmyk = info->num_components == 4;
  info->out_color_space = cmyk ? JCS_CMYK : JCS_EXT_BGR;
  info->dct_method = JDCT_ISLOW;
  info->do_fancy_upsampling = TRUE;
  target.multiple_scans = jpeg_has_multiple_scans(info) != FALSE;
  target.image->width = static_cast<int>(info->image_width);
  target.image->height = static_cast<int>(info->image_height);
  target.image->bgr.resize(size_t{3} * info->image_width * info->image_height);
  if (cmyk) target.cmyk_row->resize(size_t{4} * info->image_width);
}

// False after a fatal error.
bool run_decoder(j_decompress_ptr info, JpegTrouble& trouble, Bytes bytes, DecodeTarget& target) {
  if (setjmp(trouble.exit) != 0) return false;
  jpeg_create_decompress(info);
  jpeg_source_mgr& source = trouble.source;
  source.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
  source.bytes_in_buffer = bytes.size();
  source.init_source = no_source_action;
  source.fill_input_buffer = fill_past_end;
  source.skip_input_data = skip_input;
  source.resync_to_restart = jpeg_resync_to_restart;
  source.term_source = no_source_action;
  info->src = &source;
  jpeg_read_header(info, TRUE);
  prepare(info, target);
  jpeg_start_decompress(info);
  const size_t stride = size_t{3} * info->output_width;
  while (info->output_scanline < info->output_height && !trouble.damaged) {
    uint8_t* row = target.image->bgr.data() + stride * info->output_scanline;
    if (target.cmyk_row->empty()) {
      JSAMPROW rows[4];
      const JDIMENSION left = info->output_height - info->output_scanline;
      const JDIMENSION count = left < 4 ? left : 4;
      for (size_t i = 0; i < count; ++i) rows[i] = row + i * stride;
      jpeg_read_scanlines(info, rows, count);
    } else {
      JSAMPROW rows[1] = {target.cmyk_row->data()};
      jpeg_read_scanlines(info, rows, 1);
      cmyk_to_bgr(rows[0], row, static_cast<int>(info->output_width));
    }
  }
  // A missing end marker alone loses nothing when there is one scan.
  if (!trouble.damaged && trouble.ran_out && target.multiple_scans) trouble.damaged = true;
  if (trouble.damaged && trouble.damaged_at == 0) trouble.damaged_at = trouble.size;
  return true;
}

}  // namespace

void decode_jpeg(Bytes bytes, const std::string& name, Image& image) {
  std::vector<JSAMPLE> cmyk_row;
  JpegTrouble trouble;
  set_error_manager(trouble, bytes.size());
  Decompressor decompressor;
  decompressor.info.err = &trouble.manager;
  DecodeTarget target{&image, &cmyk_row, false};
  const bool finished = run_decoder(&decompressor.info, trouble, bytes, target);
  const unsigned rows = decompressor.info.output_scanline;
  if (finished && !trouble.damaged) return;
  if (trouble.ran_out) {
    throw bad_input("{}: the JPEG data end at byte {} after about {} of {} rows; the file is truncated: fetch it again",
                    name, bytes.size(), rows, image.height);
  }
  if (!finished)
    throw bad_input("{}: byte {}: not a readable JPEG: {}", name, bytes.size() - trouble.source.bytes_in_buffer,
                    trouble.fatal);
  throw bad_input("{}: near byte {}: corrupt JPEG data after about {} of {} rows; fetch the file again", name,
                  trouble.damaged_at, rows, image.height);
}

namespace {

bool run_encoder(jpeg_compress_struct* info, JpegTrouble& trouble, const Image& image, int quality,
                 unsigned char** buffer, unsigned long* size) {
  if (setjmp(trouble.exit) != 0) return false;
  jpeg_create_compress(info);
  jpeg_mem_dest(info, buffer, size);
  info->image_width = static_cast<JDIMENSION>(image.width);
  info->image_height = static_cast<JDIMENSION>(image.height);
  info->input_components = 3;
  info->in_color_space = JCS_EXT_BGR;
  jpeg_set_defaults(info);
  jpeg_set_quality(info, quality, TRUE);
  jpeg_start_compress(info, TRUE);
  const size_t stride = size_t{3} * info->image_width;
  while (info->next_scanline < info->image_height) {
    JSAMPROW rows[1] = {const_cast<uint8_t*>(image.bgr.data() + stride * info->next_scanline)};
    jpeg_write_scanlines(info, rows, 1);
  }
  jpeg_finish_compress(info);
  return true;
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  JpegTrouble trouble;
  set_error_manager(trouble, 0);
  jpeg_compress_struct info{};
  info.err = &trouble.manager;
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  const bool finished = run_encoder(&info, trouble, image, quality, &buffer, &size);
  std::vector<std::byte> bytes;
  if (finished) bytes.assign(reinterpret_cast<std::byte*>(buffer), reinterpret_cast<std::byte*>(buffer) + size);
  jpeg_destroy_compress(&info);
  std::free(buffer);
  if (!finished) throw failed("cannot encode a JPEG of {} x {} px: {}", image.width, image.height, trouble.fatal);
  return bytes;
}

}  // namespace posefix::image
