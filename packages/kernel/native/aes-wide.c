/**
 * OpenSSL 3 encrypts counter mode by 128-bit instructions; these take two blocks each. The cipher is FIPS 197 by the
 * processor's own rounds; the key schedule follows Intel, "Intel AES New Instructions Set" (May 2010), and the counter
 * is one big-endian number of 128 bits, as OpenSSL's is.
 */
#include "aes-wide.h"

#include <string.h>

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))

#include <cpuid.h>
#include <immintrin.h>
#include <openssl/crypto.h>

#define LEAF_1_ECX_AES (1u << 25)
#define LEAF_1_ECX_OSXSAVE (1u << 27)
#define LEAF_1_ECX_AVX (1u << 28)
#define LEAF_7_EBX_AVX2 (1u << 5)
#define LEAF_7_ECX_VAES (1u << 9)
/** The operating system saves the registers of SSE and AVX. */
#define XCR0_SSE_AVX 6u

#define WIDE __attribute__((target("vaes,avx2,aes")))

int aes_wide_available(void) {
  unsigned int eax, ebx, ecx, edx, low, high;
  const unsigned int wanted = LEAF_1_ECX_AES | LEAF_1_ECX_OSXSAVE | LEAF_1_ECX_AVX;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || (ecx & wanted) != wanted) return 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & XCR0_SSE_AVX) != XCR0_SSE_AVX) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
  return (ebx & LEAF_7_EBX_AVX2) != 0 && (ecx & LEAF_7_ECX_VAES) != 0;
}

/** The next round key: `assist` holds the rotated and substituted word in each of its places. */
WIDE static inline __m128i next_key(__m128i key, __m128i assist) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, assist);
}

#define ROTATED(key, constant) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, constant), 0xff)
#define STRAIGHT(key) _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, 0), 0xaa)

WIDE static void expand_128(__m128i keys[11], const uint8_t *key) {
  keys[0] = _mm_loadu_si128((const __m128i *)key);
#define STEP(i, constant) keys[i] = next_key(keys[(i) - 1], ROTATED(keys[(i) - 1], constant))
  STEP(1, 0x01);
  STEP(2, 0x02);
  STEP(3, 0x04);
  STEP(4, 0x08);
  STEP(5, 0x10);
  STEP(6, 0x20);
  STEP(7, 0x40);
  STEP(8, 0x80);
  STEP(9, 0x1b);
  STEP(10, 0x36);
#undef STEP
}

WIDE static void expand_256(__m128i keys[15], const uint8_t *key) {
  keys[0] = _mm_loadu_si128((const __m128i *)key);
  keys[1] = _mm_loadu_si128((const __m128i *)(key + 16));
#define STEP(i, constant) keys[i] = next_key(keys[(i) - 2], ROTATED(keys[(i) - 1], constant))
#define HALF_STEP(i) keys[i] = next_key(keys[(i) - 2], STRAIGHT(keys[(i) - 1]))
  STEP(2, 0x01);
  HALF_STEP(3);
  STEP(4, 0x02);
  HALF_STEP(5);
  STEP(6, 0x04);
  HALF_STEP(7);
  STEP(8, 0x08);
  HALF_STEP(9);
  STEP(10, 0x10);
  HALF_STEP(11);
  STEP(12, 0x20);
  HALF_STEP(13);
  STEP(14, 0x40);
#undef STEP
#undef HALF_STEP
}

WIDE void aes_wide_begin(struct aes_wide *state, const uint8_t *key, size_t key_length, const uint8_t counter[16]) {
  __m128i keys[15];
  memset(keys, 0, sizeof keys);
  if (key_length == 16) expand_128(keys, key);
  else expand_256(keys, key);
  memcpy(state->round_keys, keys, sizeof keys);
  OPENSSL_cleanse(keys, sizeof keys);
  state->rounds = key_length == 16 ? 10 : 14;
  memcpy(&state->high, counter, 8);
  memcpy(&state->low, counter + 8, 8);
  state->high = __builtin_bswap64(state->high);
  state->low = __builtin_bswap64(state->low);
}

static void next_counter(struct aes_wide *state) {
  if (++state->low == 0) state->high++;
}

WIDE static __m128i keystream_block(const struct aes_wide *state) {
  const __m128i *keys = (const __m128i *)state->round_keys;
  __m128i block = _mm_set_epi64x((long long)__builtin_bswap64(state->low), (long long)__builtin_bswap64(state->high));
  block = _mm_xor_si128(block, _mm_loadu_si128(&keys[0]));
  for (int i = 1; i < state->rounds; i++) block = _mm_aesenc_si128(block, _mm_loadu_si128(&keys[i]));
  return _mm_aesenclast_si128(block, _mm_loadu_si128(&keys[state->rounds]));
}

/** Sixteen blocks, so that no instruction waits for the one before it. The lower half of the counter does not overflow among them. */
WIDE static inline void apply_sixteen(const struct aes_wide *state, uint8_t *data) {
  const __m256i reverse = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL));
  const __m256i two = _mm256_set_epi64x(0, 2, 0, 2);
  const long long low = (long long)state->low;
  const long long high = (long long)state->high;
  __m256i counter = _mm256_set_epi64x(high, (long long)(state->low + 1), high, low);
  __m256i blocks[8];
  __m256i key = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)state->round_keys[0]));
  for (int i = 0; i < 8; i++) {
    blocks[i] = _mm256_xor_si256(_mm256_shuffle_epi8(counter, reverse), key);
    counter = _mm256_add_epi64(counter, two);
  }
  for (int round = 1; round < state->rounds; round++) {
    key = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)state->round_keys[round]));
    for (int i = 0; i < 8; i++) blocks[i] = _mm256_aesenc_epi128(blocks[i], key);
  }
  key = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)state->round_keys[state->rounds]));
  for (int i = 0; i < 8; i++) {
    __m256i *place = (__m256i *)(data + 32 * i);
    const __m256i keystream = _mm256_aesenclast_epi128(blocks[i], key);
    _mm256_storeu_si256(place, _mm256_xor_si256(_mm256_loadu_si256(place), keystream));
  }
}

WIDE void aes_wide_apply(struct aes_wide *state, uint8_t *data, size_t length) {
  while (length > 0) {
    if (length >= 256 && state->low <= UINT64_MAX - 16) {
      apply_sixteen(state, data);
      state->low += 16;
      data += 256;
      length -= 256;
      continue;
    }
    const size_t take = length < 16 ? length : 16;
    uint8_t keystream[16];
    _mm_storeu_si128((__m128i *)keystream, keystream_block(state));
    for (size_t i = 0; i < take; i++) data[i] ^= keystream[i];
    next_counter(state);
    data += take;
    length -= take;
    if (length == 0) OPENSSL_cleanse(keystream, sizeof keystream);
  }
}

#else

int aes_wide_available(void) { return 0; }

void aes_wide_begin(struct aes_wide *state, const uint8_t *key, size_t key_length, const uint8_t counter[16]) {
  (void)key;
  (void)key_length;
  (void)counter;
  memset(state, 0, sizeof *state);
}

void aes_wide_apply(struct aes_wide *state, uint8_t *data, size_t length) {
  (void)state;
  (void)data;
  (void)length;
}

#endif
