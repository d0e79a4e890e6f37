/**
 * The addon (Node-API 8, so one build serves every Node from 20 on):
 *
 *     abi        number: of this interface; the wrapper refuses another
 *     lanes      boolean: this processor can hash two segments at once; as an argument: use that, and wide AES
 *     run(lanes, …segment, …segment?)       resolves with a bit mask of authentic segments: 1 the first, 2 the second
 *     runSync(lanes, …segment, …segment?)   the same at once, on the calling thread
 *
 * A segment is ten arguments: operation (0 seal, 1 verify, 2 open), data, tag, from, to, key, counter, block, macKey,
 * prefix. Bytes are Uint8Arrays over an ArrayBuffer of fixed length; key and counter of a verification are undefined.
 * Arguments are positional since reading a property could run a getter, and that could detach a buffer checked before.
 *
 * Everything is checked before any work. Keys are copied into the job when it is made, and cleared when it ends, so the
 * caller may wipe its own at once. `data` and `tag` are used where they lie, and held until the job ends: the caller
 * must not detach them, nor read or write them, before. A failure of OpenSSL rejects.
 */
#include <node_api.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "segment.h"

#define ABI 1
#define SEGMENT_ARGUMENTS 10
#define MAX_SEGMENTS 2
/** 2^44 bytes of plaintext are 2^40 blocks. */
#define MAX_BLOCK ((uint64_t)1 << 40)

struct instance {
  struct segment_ciphers ciphers;
};

struct job {
  const struct segment_ciphers *ciphers;
  struct segment segments[MAX_SEGMENTS];
  size_t count;
  int lanes;
  int done;
  /** Keep data and tags from the garbage collector. */
  napi_ref held[2 * MAX_SEGMENTS];
  napi_async_work work;
  napi_deferred deferred;
};

static int refuse(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG", message);
  return 0;
}

/** The bytes of a Uint8Array over a plain ArrayBuffer; 0 with an exception pending otherwise. */
static int bytes_of(napi_env env, napi_value value, const char *message, uint8_t **bytes, size_t *length) {
  bool is_array = false;
  bool is_plain = false;
  bool is_detached = true;
  napi_typedarray_type type;
  napi_value buffer;
  void *data = NULL;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return refuse(env, message);
  if (napi_get_typedarray_info(env, value, &type, length, &data, &buffer, NULL) != napi_ok) return refuse(env, message);
  if (type != napi_uint8_array) return refuse(env, message);
  if (napi_is_arraybuffer(env, buffer, &is_plain) != napi_ok || !is_plain) return refuse(env, message);
  if (napi_is_detached_arraybuffer(env, buffer, &is_detached) != napi_ok || is_detached) return refuse(env, message);
  if (data == NULL && *length > 0) return refuse(env, message);
  *bytes = data;
  return 1;
}

static int copy_of(napi_env env, napi_value value, const char *message, uint8_t *target, size_t wanted) {
  uint8_t *bytes;
  size_t length;
  if (!bytes_of(env, value, message, &bytes, &length)) return 0;
  if (length != wanted) return refuse(env, message);
  memcpy(target, bytes, wanted);
  return 1;
}

/** A whole number from 0 to `most`. */
static int number_of(napi_env env, napi_value value, const char *message, uint64_t most, uint64_t *number) {
  double given;
  if (napi_get_value_double(env, value, &given) != napi_ok) return refuse(env, message);
  // Also false for NaN, before the conversion, which is undefined beyond the range.
  if (!(given >= 0 && given <= (double)most)) return refuse(env, message);
  *number = (uint64_t)given;
  return (double)*number == given ? 1 : refuse(env, message);
}

static int overlap(const uint8_t *one, size_t one_length, const uint8_t *two, size_t two_length) {
  const uintptr_t a = (uintptr_t)one;
  const uintptr_t b = (uintptr_t)two;
  return one_length > 0 && two_length > 0 && a < b + two_length && b < a + one_length;
}

static int parse_segment(napi_env env, const napi_value *arguments, struct segment *segment) {
  uint64_t operation, from, to, block;
  uint8_t *key;
  size_t tag_length;
  if (!number_of(env, arguments[0], "operation must be 0, 1 or 2", 2, &operation)) return 0;
  segment->operation = (enum segment_operation)operation;
  if (!bytes_of(env, arguments[1], "data must be a Uint8Array", &segment->data, &segment->length)) return 0;
  if (segment->length > SEGMENT_MAX_LENGTH) return refuse(env, "data must have at most 2^24 bytes");
  if (!bytes_of(env, arguments[2], "tag must be a Uint8Array", &segment->tag, &tag_length)) return 0;
  if (tag_length != SEGMENT_TAG_LENGTH) return refuse(env, "tag must have 32 bytes");
  if (overlap(segment->data, segment->length, segment->tag, tag_length)) return refuse(env, "data and tag overlap");
  if (!number_of(env, arguments[3], "from must be a position in data", segment->length, &from)) return 0;
  if (!number_of(env, arguments[4], "to must be a position in data", segment->length, &to)) return 0;
  if (from > to) return refuse(env, "from must not be beyond to");
  segment->from = (size_t)from;
  segment->to = (size_t)to;
  if (segment->operation != SEGMENT_VERIFY) {
    if (!bytes_of(env, arguments[5], "key must be a Uint8Array", &key, &segment->key_length)) return 0;
    if (segment->key_length != 16 && segment->key_length != 32) return refuse(env, "key must have 16 or 32 bytes");
    memcpy(segment->key, key, segment->key_length);
    if (!copy_of(env, arguments[6], "counter must have 16 bytes", segment->counter, SEGMENT_COUNTER_LENGTH)) return 0;
    if (!number_of(env, arguments[7], "block must be a whole number up to 2^40", MAX_BLOCK, &block)) return 0;
    segment_add_to_counter(segment->counter, block);
  }
  if (!copy_of(env, arguments[8], "macKey must have 32 bytes", segment->mac_key, SEGMENT_MAC_KEY_LENGTH)) return 0;
  return copy_of(env, arguments[9], "prefix must have 64 bytes", segment->prefix, SEGMENT_PREFIX_LENGTH);
}

/** Two segments share no byte that one of them writes. */
static int are_apart(const struct segment *one, const struct segment *two) {
  return !overlap(one->data, one->length, two->data, two->length) &&
         !overlap(one->data, one->length, two->tag, SEGMENT_TAG_LENGTH) &&
         !overlap(two->data, two->length, one->tag, SEGMENT_TAG_LENGTH) &&
         !overlap(one->tag, SEGMENT_TAG_LENGTH, two->tag, SEGMENT_TAG_LENGTH);
}

static void free_job(napi_env env, struct job *job) {
  for (size_t i = 0; i < 2 * MAX_SEGMENTS; i++)
    if (job->held[i] != NULL) napi_delete_reference(env, job->held[i]);
  if (job->work != NULL) napi_delete_async_work(env, job->work);
  OPENSSL_cleanse(job, sizeof *job);
  free(job);
}

/** A job made of the call's arguments; NULL with an exception pending otherwise. `hold`: it outlives the call. */
CLEARS_REGISTERS static struct job *parse_job(napi_env env, napi_callback_info info, int hold) {
  size_t given = 1 + MAX_SEGMENTS * SEGMENT_ARGUMENTS;
  napi_value arguments[1 + MAX_SEGMENTS * SEGMENT_ARGUMENTS];
  struct instance *instance = NULL;
  bool lanes;
  if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) != napi_ok) return NULL;
  if (napi_get_instance_data(env, (void **)&instance) != napi_ok || instance == NULL) return NULL;
  if (given != 1 + SEGMENT_ARGUMENTS && given != 1 + MAX_SEGMENTS * SEGMENT_ARGUMENTS) {
    refuse(env, "one or two segments of ten arguments each, after lanes");
    return NULL;
  }
  if (napi_get_value_bool(env, arguments[0], &lanes) != napi_ok) {
    refuse(env, "lanes must be a boolean");
    return NULL;
  }
  struct job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    napi_throw_error(env, "ERR_MEMORY", "out of memory");
    return NULL;
  }
  job->ciphers = &instance->ciphers;
  job->count = (given - 1) / SEGMENT_ARGUMENTS;
  job->lanes = lanes;
  int good = 1;
  for (size_t i = 0; good && i < job->count; i++) {
    const napi_value *own = &arguments[1 + i * SEGMENT_ARGUMENTS];
    good = parse_segment(env, own, &job->segments[i]);
    if (good && hold) {
      good = napi_create_reference(env, own[1], 1, &job->held[2 * i]) == napi_ok &&
             napi_create_reference(env, own[2], 1, &job->held[2 * i + 1]) == napi_ok;
      if (!good) napi_throw_error(env, "ERR_MEMORY", "the buffers cannot be held");
    }
  }
  if (good && job->count == 2 && !are_apart(&job->segments[0], &job->segments[1]))
    good = refuse(env, "two segments overlap");
  if (good) return job;
  free_job(env, job);
  return NULL;
}

static void run_job(struct job *job) {
  struct segment *segments[MAX_SEGMENTS] = {&job->segments[0], &job->segments[1]};
  job->done = segment_run(job->ciphers, segments, job->count, job->lanes);
}

static uint32_t authentic_of(const struct job *job) {
  return (job->segments[0].authentic ? 1u : 0u) | (job->count == 2 && job->segments[1].authentic ? 2u : 0u);
}

static napi_value failure(napi_env env, const char *text) {
  napi_value message;
  napi_value error;
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) != napi_ok) return NULL;
  return napi_create_error(env, NULL, message, &error) == napi_ok ? error : NULL;
}

CLEARS_REGISTERS static void execute(napi_env env, void *data) {
  (void)env;
  run_job(data);
}

CLEARS_REGISTERS static void complete(napi_env env, napi_status status, void *data) {
  struct job *job = data;
  const int done = status == napi_ok && job->done;
  const uint32_t authentic = authentic_of(job);
  const napi_deferred deferred = job->deferred;
  napi_value value = NULL;
  // Before JavaScript runs: it may use the buffers at once.
  free_job(env, job);
  if (done) {
    if (napi_create_uint32(env, authentic, &value) == napi_ok) napi_resolve_deferred(env, deferred, value);
  } else {
    value = failure(env, status == napi_cancelled ? "the segment was cancelled" : "OpenSSL failed on a segment");
    if (value != NULL) napi_reject_deferred(env, deferred, value);
  }
}

CLEARS_REGISTERS static napi_value run(napi_env env, napi_callback_info info) {
  napi_value promise;
  napi_value name;
  struct job *job = parse_job(env, info, 1);
  if (job == NULL) return NULL;
  if (napi_create_string_utf8(env, "sealfleet:segment", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, execute, complete, job, &job->work) != napi_ok ||
      napi_create_promise(env, &job->deferred, &promise) != napi_ok) {
    free_job(env, job);
    napi_throw_error(env, "ERR_QUEUE", "the segment cannot be queued");
    return NULL;
  }
  if (napi_queue_async_work(env, job->work) != napi_ok) {
    const napi_value error = failure(env, "the segment cannot be queued");
    if (error != NULL) napi_reject_deferred(env, job->deferred, error);
    free_job(env, job);
  }
  return promise;
}

CLEARS_REGISTERS static napi_value run_sync(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  struct job *job = parse_job(env, info, 0);
  if (job == NULL) return NULL;
  run_job(job);
  if (job->done) napi_create_uint32(env, authentic_of(job), &value);
  else napi_throw_error(env, "ERR_OPENSSL", "OpenSSL failed on a segment");
  free_job(env, job);
  return value;
}

static void free_instance(napi_env env, void *data, void *hint) {
  struct instance *instance = data;
  (void)env;
  (void)hint;
  segment_ciphers_close(&instance->ciphers);
  free(instance);
}

static int define(napi_env env, napi_value exports, struct instance *instance) {
  napi_value abi, lanes, functions[2];
  if (napi_set_instance_data(env, instance, free_instance, NULL) != napi_ok) return 0;
  return napi_create_uint32(env, ABI, &abi) == napi_ok &&
         napi_set_named_property(env, exports, "abi", abi) == napi_ok &&
         napi_get_boolean(env, instance->ciphers.has_lanes != 0, &lanes) == napi_ok &&
         napi_set_named_property(env, exports, "lanes", lanes) == napi_ok &&
         napi_create_function(env, "run", NAPI_AUTO_LENGTH, run, NULL, &functions[0]) == napi_ok &&
         napi_set_named_property(env, exports, "run", functions[0]) == napi_ok &&
         napi_create_function(env, "runSync", NAPI_AUTO_LENGTH, run_sync, NULL, &functions[1]) == napi_ok &&
         napi_set_named_property(env, exports, "runSync", functions[1]) == napi_ok;
}

NAPI_MODULE_INIT() {
  struct instance *instance = calloc(1, sizeof *instance);
  if (instance == NULL || !segment_ciphers_open(&instance->ciphers)) {
    free(instance);
    napi_throw_error(env, "ERR_OPENSSL", "this OpenSSL has no AES-CTR");
    return NULL;
  }
  if (!define(env, exports, instance)) napi_throw_error(env, "ERR_MEMORY", "the addon cannot be set up");
  return exports;
}
