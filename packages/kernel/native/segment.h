/**
 * One segment of a sealed object, or two at once: AES-CTR in place, HMAC-SHA-256 over the ciphertext (docs/design/format.md §4).
 * Knows nothing of Node; test/native/segment-test.c runs it alone.
 */
#ifndef SEALFLEET_SEGMENT_H
#define SEALFLEET_SEGMENT_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

/**
 * For functions that have handled keys: registers are cleared as they return. A copy through a vector register stays in
 * it otherwise, and V8 writes such registers to its heap when it leaves optimised code.
 */
#if defined(__has_attribute)
#if __has_attribute(zero_call_used_regs)
#define CLEARS_REGISTERS __attribute__((zero_call_used_regs("all"), noinline))
#endif
#endif
#ifndef CLEARS_REGISTERS
#define CLEARS_REGISTERS
#endif

#define SEGMENT_MAX_LENGTH ((size_t)1 << 24)
#define SEGMENT_TAG_LENGTH 32
#define SEGMENT_MAC_KEY_LENGTH 32
#define SEGMENT_MAX_KEY_LENGTH 32
#define SEGMENT_COUNTER_LENGTH 16
/** label ‖ HTAG ‖ index ‖ length ‖ final ‖ zeros: exactly one block of SHA-256. */
#define SEGMENT_PREFIX_LENGTH 64

enum segment_operation {
  /** Encrypts `data` and writes `tag`. */
  SEGMENT_SEAL = 0,
  /** Compares `tag`; changes nothing. */
  SEGMENT_VERIFY = 1,
  /** Compares `tag` of the whole segment; only if it is right, decrypts `data` from `from` to `to`. */
  SEGMENT_OPEN = 2,
};

/** The caller owns `data` and `tag`; keys are copies, which the caller clears. */
struct segment {
  enum segment_operation operation;
  uint8_t *data;
  size_t length;
  uint8_t *tag;
  size_t from;
  size_t to;
  /** 16 or 32; unused for SEGMENT_VERIFY. */
  size_t key_length;
  uint8_t key[SEGMENT_MAX_KEY_LENGTH];
  /** The counter block of the segment's first byte. */
  uint8_t counter[SEGMENT_COUNTER_LENGTH];
  uint8_t mac_key[SEGMENT_MAC_KEY_LENGTH];
  uint8_t prefix[SEGMENT_PREFIX_LENGTH];
  /** Result: 1 if sealed, or if the tag was right. */
  int authentic;
};

struct segment_ciphers {
  EVP_CIPHER *aes_128_ctr;
  EVP_CIPHER *aes_256_ctr;
  /** This processor can hash two segments at once (sha256-lanes.h), and has wide AES (aes-wide.h). */
  int has_lanes;
  int has_wide_aes;
};

/**
 * Fetches the two ciphers from OpenSSL and asks the processor what it has, once: in a virtual machine that question takes
 * longer than a small segment. Returns 0 if a cipher is missing, with nothing left to free.
 */
int segment_ciphers_open(struct segment_ciphers *ciphers);
void segment_ciphers_close(struct segment_ciphers *ciphers);

/** (counter + blocks) mod 2^128, in place. */
void segment_add_to_counter(uint8_t counter[SEGMENT_COUNTER_LENGTH], uint64_t blocks);

/**
 * Runs `count` (1 or 2) segments to their end, whatever their operations and lengths. With `lanes`, and where the
 * processor has them, two are hashed at once and AES takes its wide instructions. Returns 0 when OpenSSL failed: then no result counts, and `data` of
 * a segment to be sealed is half plaintext.
 */
CLEARS_REGISTERS int segment_run(const struct segment_ciphers *ciphers, struct segment *const segments[], size_t count, int lanes);

#endif
