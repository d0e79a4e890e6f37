/**
 * The kernel without Node: every length around the edges of blocks and slices, in pairs of different lengths and
 * operations, compared with OpenSSL's own HMAC and AES-CTR. Prints the number of checks; exit status 1 on a failure.
 * test/native.test.ts builds and runs it, under AddressSanitizer, and under valgrind where that is installed.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../native/segment.h"
#include "../../native/sha256-lanes.h"

static unsigned long checks = 0;
static struct segment_ciphers ciphers;

static void check(int right, const char *what, size_t one, size_t two) {
  checks++;
  if (right) return;
  fprintf(stderr, "failed: %s, lengths %zu and %zu\n", what, one, two);
  exit(1);
}

struct sample {
  struct segment segment;
  uint8_t *plaintext;
  uint8_t *ciphertext;
  uint8_t tag[SEGMENT_TAG_LENGTH];
};

/** A random segment with its right ciphertext and tag, in memory of exactly its length, so that tools see an overrun. */
static struct sample *sample_of(size_t length, size_t key_length, int counter_wraps) {
  struct sample *sample = calloc(1, sizeof *sample);
  struct segment *segment = &sample->segment;
  int written = 0;
  unsigned int tag_length = 0;
  segment->length = length;
  segment->key_length = key_length;
  RAND_bytes(segment->key, (int)key_length);
  RAND_bytes(segment->counter, SEGMENT_COUNTER_LENGTH);
  // All 128 bits wrap at the second block, or the lower 64 within the first few.
  if (counter_wraps) memset(segment->counter + 8 * (rand() % 2), 0xff, 8);
  if (counter_wraps) memset(segment->counter + 8, 0xff, 7);
  if (counter_wraps && rand() % 2) segment->counter[15] = 0xff;
  RAND_bytes(segment->mac_key, SEGMENT_MAC_KEY_LENGTH);
  RAND_bytes(segment->prefix, SEGMENT_PREFIX_LENGTH);
  sample->plaintext = malloc(length == 0 ? 1 : length);
  sample->ciphertext = malloc(length == 0 ? 1 : length);
  segment->data = malloc(length == 0 ? 1 : length);
  segment->tag = malloc(SEGMENT_TAG_LENGTH);
  RAND_bytes(sample->plaintext, (int)length);
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
  const EVP_CIPHER *cipher = key_length == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr();
  EVP_EncryptInit_ex(context, cipher, NULL, segment->key, segment->counter);
  if (length > 0) EVP_EncryptUpdate(context, sample->ciphertext, &written, sample->plaintext, (int)length);
  EVP_CIPHER_CTX_free(context);
  HMAC_CTX *hmac = HMAC_CTX_new();
  HMAC_Init_ex(hmac, segment->mac_key, SEGMENT_MAC_KEY_LENGTH, EVP_sha256(), NULL);
  HMAC_Update(hmac, segment->prefix, SEGMENT_PREFIX_LENGTH);
  HMAC_Update(hmac, sample->ciphertext, length);
  HMAC_Final(hmac, sample->tag, &tag_length);
  HMAC_CTX_free(hmac);
  return sample;
}

static void free_sample(struct sample *sample) {
  free(sample->plaintext);
  free(sample->ciphertext);
  free(sample->segment.data);
  free(sample->segment.tag);
  free(sample);
}

/** Sets the operation up; returns the bit of the tag that is flipped for one in three. */
static int prepare(struct sample *sample, enum segment_operation operation, int flip) {
  struct segment *segment = &sample->segment;
  segment->operation = operation;
  segment->from = 0;
  segment->to = segment->length;
  if (operation == SEGMENT_SEAL) {
    memcpy(segment->data, sample->plaintext, segment->length);
    memset(segment->tag, 0, SEGMENT_TAG_LENGTH);
    return 0;
  }
  memcpy(segment->data, sample->ciphertext, segment->length);
  memcpy(segment->tag, sample->tag, SEGMENT_TAG_LENGTH);
  if (operation == SEGMENT_OPEN && segment->length > 2) {
    segment->from = (size_t)rand() % segment->length;
    segment->to = segment->from + (size_t)rand() % (segment->length - segment->from + 1);
  }
  if (flip) segment->tag[rand() % SEGMENT_TAG_LENGTH] ^= (uint8_t)(1 << (rand() % 8));
  return flip;
}

static void compare(const struct sample *sample, int flipped, size_t one, size_t two) {
  const struct segment *segment = &sample->segment;
  check(segment->authentic == !flipped, "the result", one, two);
  if (segment->operation == SEGMENT_SEAL) {
    check(memcmp(segment->data, sample->ciphertext, segment->length) == 0, "the ciphertext", one, two);
    check(memcmp(segment->tag, sample->tag, SEGMENT_TAG_LENGTH) == 0, "the tag", one, two);
    return;
  }
  const int opened = segment->operation == SEGMENT_OPEN && !flipped;
  for (size_t i = 0; i < segment->length; i++) {
    const int plain = opened && i >= segment->from && i < segment->to;
    check(segment->data[i] == (plain ? sample->plaintext : sample->ciphertext)[i], "a byte", one, two);
  }
}

static void run_one(size_t length, size_t key_length, int operation, int flip, int wraps) {
  struct sample *sample = sample_of(length, key_length, wraps);
  struct segment *segments[] = {&sample->segment};
  for (int lanes = 0; lanes < 2; lanes++) {
    const int flipped = prepare(sample, (enum segment_operation)operation, flip);
    check(segment_run(&ciphers, segments, 1, lanes), "a run", length, 0);
    compare(sample, flipped, length, 0);
  }
  free_sample(sample);
}

static void run_two(size_t one_length, size_t two_length, int lanes) {
  struct sample *one = sample_of(one_length, rand() % 2 ? 16 : 32, rand() % 2);
  struct sample *two = sample_of(two_length, rand() % 2 ? 16 : 32, rand() % 2);
  struct segment *segments[] = {&one->segment, &two->segment};
  for (int round = 0; round < 3; round++) {
    const int one_flipped = prepare(one, (enum segment_operation)(rand() % 3), rand() % 3 == 0);
    const int two_flipped = prepare(two, (enum segment_operation)(rand() % 3), rand() % 3 == 0);
    check(segment_run(&ciphers, segments, 2, lanes), "a run", one_length, two_length);
    compare(one, one_flipped, one_length, two_length);
    compare(two, two_flipped, one_length, two_length);
  }
  free_sample(one);
  free_sample(two);
}

/** The compression alone: two states against OpenSSL's, from any state. */
static void compress_two(size_t blocks) {
  uint8_t *data[2];
  uint32_t states[2][8];
  SHA256_CTX right[2];
  for (int i = 0; i < 2; i++) {
    data[i] = malloc(blocks * 64 + 1);
    RAND_bytes(data[i], (int)(blocks * 64));
    SHA256_Init(&right[i]);
    RAND_bytes((unsigned char *)right[i].h, sizeof right[i].h);
    memcpy(states[i], right[i].h, sizeof states[i]);
    for (size_t block = 0; block < blocks; block++) SHA256_Transform(&right[i], data[i] + 64 * block);
  }
  sha256_lanes(states[0], data[0], states[1], data[1], blocks);
  for (int i = 0; i < 2; i++) {
    check(memcmp(states[i], right[i].h, sizeof states[i]) == 0, "a state", blocks, blocks);
    free(data[i]);
  }
}

static void add_to_counters(void) {
  for (int i = 0; i < 2000; i++) {
    uint8_t counter[16], right[16];
    uint64_t blocks = 0;
    RAND_bytes(counter, sizeof counter);
    if (i % 2) memset(counter + rand() % 8, 0xff, 8);
    RAND_bytes((unsigned char *)&blocks, 1 + i % 8);
    memcpy(right, counter, sizeof right);
    unsigned __int128 value = 0;
    for (int b = 0; b < 16; b++) value = value << 8 | right[b];
    value += blocks;
    for (int b = 15; b >= 0; b--, value >>= 8) right[b] = (uint8_t)value;
    segment_add_to_counter(counter, blocks);
    check(memcmp(counter, right, sizeof right) == 0, "a counter", (size_t)blocks, 0);
  }
}

static const size_t EDGES[] = {0,    1,    15,    16,    17,    31,    32,    55,    56,    63,    64,    65,   119,
                               127,  128,  129,   1000,  4095,  4096,  4097,  8191,  16320, 16383, 16384, 16385,
                               16447, 16448, 16449, 32767, 32768, 32769, 49152, 65535, 65536, 65537};
#define EDGE_COUNT (sizeof EDGES / sizeof *EDGES)

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 1;
  srand(argc > 2 ? (unsigned)atoi(argv[2]) : 1);
  if (!segment_ciphers_open(&ciphers)) return 1;
  const int lanes = ciphers.has_lanes;
  const int wide = ciphers.has_wide_aes;
  add_to_counters();
  for (size_t blocks = 0; lanes && blocks < 40; blocks++) compress_two(blocks);
  for (int round = 0; round < rounds; round++) {
    for (size_t i = 0; i < EDGE_COUNT; i++)
      for (int operation = 0; operation < 3; operation++)
        for (int flip = 0; flip < 2; flip++) {
          run_one(EDGES[i], 16, operation, flip, 0);
          run_one(EDGES[i], 32, operation, flip, 1);
        }
    for (size_t i = 0; i < EDGE_COUNT; i++)
      for (size_t j = 0; j < EDGE_COUNT; j++) run_two(EDGES[i], EDGES[j], (int)(i + j + (size_t)round) % 4 == 0 ? 0 : lanes);
    for (int i = 0; i < 500; i++) run_two((size_t)rand() % 6000, (size_t)rand() % 6000, lanes);
  }
  segment_ciphers_close(&ciphers);
  printf("%lu checks passed, %s, %s\n", checks, lanes ? "two lanes" : "no lanes on this processor",
         wide ? "wide AES" : "no wide AES");
  return 0;
}
