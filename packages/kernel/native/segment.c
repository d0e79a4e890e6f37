/** See segment.h. SHA256_* are marked deprecated in OpenSSL 3; their state is public, which two lanes need. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "segment.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "aes-wide.h"
#include "sha256-lanes.h"

#define AES_BLOCK 16
#define SHA256_BLOCK 64
/** Two of them fit into the first cache: what AES has written there is hashed there. */
#define SLICE ((size_t)16 * 1024)

int segment_ciphers_open(struct segment_ciphers *ciphers) {
  ciphers->aes_128_ctr = EVP_CIPHER_fetch(NULL, "AES-128-CTR", NULL);
  ciphers->aes_256_ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
  ciphers->has_lanes = sha256_lanes_available();
  ciphers->has_wide_aes = aes_wide_available();
  if (ciphers->aes_128_ctr != NULL && ciphers->aes_256_ctr != NULL) return 1;
  segment_ciphers_close(ciphers);
  return 0;
}

void segment_ciphers_close(struct segment_ciphers *ciphers) {
  EVP_CIPHER_free(ciphers->aes_128_ctr);
  EVP_CIPHER_free(ciphers->aes_256_ctr);
  ciphers->aes_128_ctr = NULL;
  ciphers->aes_256_ctr = NULL;
}

void segment_add_to_counter(uint8_t counter[SEGMENT_COUNTER_LENGTH], uint64_t blocks) {
  unsigned int carry = 0;
  for (int i = SEGMENT_COUNTER_LENGTH - 1; i >= 0 && (blocks > 0 || carry > 0); i--) {
    const unsigned int sum = counter[i] + (unsigned int)(blocks & 0xff) + carry;
    counter[i] = (uint8_t)sum;
    carry = sum >> 8;
    blocks >>= 8;
  }
}

/** AES-CTR from one byte of a segment on: by the wide instructions, or by OpenSSL. */
struct cipher {
  EVP_CIPHER_CTX *context;
  struct aes_wide wide;
};

/** 0 when OpenSSL failed. */
static int cipher_begin(struct cipher *cipher, const struct segment_ciphers *ciphers, const struct segment *segment,
                        size_t position, int wide) {
  const int skip = (int)(position % AES_BLOCK);
  uint8_t counter[SEGMENT_COUNTER_LENGTH];
  uint8_t skipped[AES_BLOCK] = {0};
  int written = 0;
  int done;
  memcpy(counter, segment->counter, sizeof counter);
  segment_add_to_counter(counter, position / AES_BLOCK);
  // The wide instructions work on whole blocks.
  if (wide && skip == 0) {
    aes_wide_begin(&cipher->wide, segment->key, segment->key_length, counter);
    done = 1;
  } else {
    cipher->context = EVP_CIPHER_CTX_new();
    done = cipher->context != NULL &&
           EVP_EncryptInit_ex2(cipher->context,
                               segment->key_length == 16 ? ciphers->aes_128_ctr : ciphers->aes_256_ctr, segment->key,
                               counter, NULL) &&
           (skip == 0 ||
            (EVP_EncryptUpdate(cipher->context, skipped, &written, skipped, skip) && written == skip));
  }
  OPENSSL_cleanse(counter, sizeof counter);
  OPENSSL_cleanse(skipped, sizeof skipped);
  return done;
}

/** Clears the key schedule. What never began may be ended, too. */
static void cipher_end(struct cipher *cipher) {
  EVP_CIPHER_CTX_free(cipher->context);
  OPENSSL_cleanse(cipher, sizeof *cipher);
}

static int apply(struct cipher *cipher, uint8_t *data, size_t length) {
  int written = 0;
  if (cipher->context == NULL) {
    aes_wide_apply(&cipher->wide, data, length);
    return 1;
  }
  return EVP_EncryptUpdate(cipher->context, data, &written, data, (int)length) && (size_t)written == length;
}

/** HMAC-SHA-256 (FIPS 198-1) with a key of 32 bytes, after the segment's prefix. */
struct mac {
  SHA256_CTX inner;
  SHA256_CTX outer;
};

static void mac_begin(struct mac *mac, const struct segment *segment) {
  uint8_t pad[SHA256_BLOCK];
  memset(pad, 0x36, sizeof pad);
  for (size_t i = 0; i < SEGMENT_MAC_KEY_LENGTH; i++) pad[i] ^= segment->mac_key[i];
  SHA256_Init(&mac->inner);
  SHA256_Update(&mac->inner, pad, sizeof pad);
  SHA256_Update(&mac->inner, segment->prefix, SEGMENT_PREFIX_LENGTH);
  for (size_t i = 0; i < sizeof pad; i++) pad[i] ^= 0x36 ^ 0x5c;
  SHA256_Init(&mac->outer);
  SHA256_Update(&mac->outer, pad, sizeof pad);
  OPENSSL_cleanse(pad, sizeof pad);
}

static void mac_end(struct mac *mac, uint8_t tag[SEGMENT_TAG_LENGTH]) {
  SHA256_Final(tag, &mac->inner);
  SHA256_Update(&mac->outer, tag, SEGMENT_TAG_LENGTH);
  SHA256_Final(tag, &mac->outer);
}

/** Counts blocks that were compressed without OpenSSL: Nh and Nl hold the length in bits. */
static void count_blocks(SHA256_CTX *state, size_t blocks) {
  const uint64_t bits = (((uint64_t)state->Nh << 32) | state->Nl) + (uint64_t)blocks * SHA256_BLOCK * 8;
  state->Nl = (SHA_LONG)bits;
  state->Nh = (SHA_LONG)(bits >> 32);
}

struct work {
  struct segment *segment;
  struct mac mac;
  struct cipher cipher;
  /** The slice that is hashed next. */
  const uint8_t *slice;
  size_t slice_length;
};

/** The next slice of a segment from `at` on, encrypted if it is to be sealed. */
static int take_slice(struct work *work, size_t at) {
  const struct segment *segment = work->segment;
  const size_t left = at < segment->length ? segment->length - at : 0;
  work->slice_length = left < SLICE ? left : SLICE;
  if (work->slice_length == 0) return 1;
  work->slice = segment->data + at;
  return segment->operation != SEGMENT_SEAL || apply(&work->cipher, segment->data + at, work->slice_length);
}

static void hash_slices(struct work *works, size_t count, int lanes) {
  size_t hashed = 0;
  // A slice before a segment's last is whole blocks, so both states stand at the start of a block.
  if (lanes && count == 2) {
    SHA256_CTX *one = &works[0].mac.inner;
    SHA256_CTX *two = &works[1].mac.inner;
    const size_t common = works[0].slice_length < works[1].slice_length ? works[0].slice_length : works[1].slice_length;
    const size_t blocks = one->num == 0 && two->num == 0 ? common / SHA256_BLOCK : 0;
    if (blocks > 0) {
      sha256_lanes(one->h, works[0].slice, two->h, works[1].slice, blocks);
      count_blocks(one, blocks);
      count_blocks(two, blocks);
      hashed = blocks * SHA256_BLOCK;
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (works[i].slice_length > hashed)
      SHA256_Update(&works[i].mac.inner, works[i].slice + hashed, works[i].slice_length - hashed);
  }
}

/** After the last slice: writes the tag, or compares it and, if it is right, decrypts. */
static int finish(const struct segment_ciphers *ciphers, struct work *work, int wide) {
  struct segment *segment = work->segment;
  uint8_t tag[SEGMENT_TAG_LENGTH];
  mac_end(&work->mac, tag);
  if (segment->operation == SEGMENT_SEAL) {
    memcpy(segment->tag, tag, sizeof tag);
    segment->authentic = 1;
  } else {
    segment->authentic = CRYPTO_memcmp(tag, segment->tag, sizeof tag) == 0;
  }
  // The right tag of a forged segment must not stay behind.
  OPENSSL_cleanse(tag, sizeof tag);
  if (segment->operation != SEGMENT_OPEN || !segment->authentic || segment->from == segment->to) return 1;
  if (!cipher_begin(&work->cipher, ciphers, segment, segment->from, wide)) return 0;
  for (size_t at = segment->from; at < segment->to;) {
    const size_t left = segment->to - at;
    const size_t take = left < SLICE ? left : SLICE;
    if (!apply(&work->cipher, segment->data + at, take)) return 0;
    at += take;
  }
  return 1;
}

CLEARS_REGISTERS int segment_run(const struct segment_ciphers *ciphers, struct segment *const segments[], size_t count, int lanes) {
  struct work works[2];
  const int wide = lanes && ciphers->has_wide_aes;
  size_t longest = 0;
  int done = 1;
  if (count < 1 || count > 2) return 0;
  memset(works, 0, sizeof works);
  for (size_t i = 0; i < count; i++) {
    works[i].segment = segments[i];
    segments[i]->authentic = 0;
    if (segments[i]->length > longest) longest = segments[i]->length;
    mac_begin(&works[i].mac, segments[i]);
    if (segments[i]->operation == SEGMENT_SEAL && !cipher_begin(&works[i].cipher, ciphers, segments[i], 0, wide)) done = 0;
  }
  for (size_t at = 0; done && at < longest; at += SLICE) {
    for (size_t i = 0; done && i < count; i++) done = take_slice(&works[i], at);
    if (done) hash_slices(works, count, lanes && ciphers->has_lanes);
  }
  for (size_t i = 0; done && i < count; i++) done = finish(ciphers, &works[i], wide);
  for (size_t i = 0; i < count; i++) cipher_end(&works[i].cipher);
  OPENSSL_cleanse(works, sizeof works);
  return done;
}
