/**
 * Two messages in one loop. Each round instruction waits some cycles for the one before it; a second message fills that
 * time, since nothing in it depends on the first. One message at a time uses about half of the unit.
 *
 * Instructions and their operands: Intel, "Intel SHA Extensions" (July 2013), whose example this follows. The functions
 * carry the target attribute themselves, so that nothing else of the addon needs such a processor.
 */
#include "sha256-lanes.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))

#include <cpuid.h>
#include <immintrin.h>

#define LEAF_1_ECX_SSSE3 (1u << 9)
#define LEAF_1_ECX_SSE41 (1u << 19)
#define LEAF_7_EBX_SHA (1u << 29)

int sha256_lanes_available(void) {
  unsigned int eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
  if (!(ecx & LEAF_1_ECX_SSSE3) || !(ecx & LEAF_1_ECX_SSE41)) return 0;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
  return (ebx & LEAF_7_EBX_SHA) != 0;
}

/** FIPS 180-4, 4.2.2. */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define LANES __attribute__((target("sha,sse4.1,ssse3")))

/** The instructions keep the state as (a b e f) and (c d g h). */
LANES static inline void load_state(const uint32_t state[8], __m128i *abef, __m128i *cdgh) {
  const __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[0]), 0xB1);
  const __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)&state[4]), 0x1B);
  *abef = _mm_alignr_epi8(low, high, 8);
  *cdgh = _mm_blend_epi16(high, low, 0xF0);
}

LANES static inline void store_state(uint32_t state[8], __m128i abef, __m128i cdgh) {
  const __m128i low = _mm_shuffle_epi32(abef, 0x1B);
  const __m128i high = _mm_shuffle_epi32(cdgh, 0xB1);
  _mm_storeu_si128((__m128i *)&state[0], _mm_blend_epi16(low, high, 0xF0));
  _mm_storeu_si128((__m128i *)&state[4], _mm_alignr_epi8(high, low, 8));
}

/** Rounds 4·g to 4·g + 3 of both messages, whose words for these rounds are `a` and `b`. */
#define ROUNDS(g, a, b)                                                 \
  do {                                                                  \
    const __m128i constants = _mm_load_si128((const __m128i *)&K[4 * (g)]); \
    __m128i words_a = _mm_add_epi32(a, constants);                      \
    __m128i words_b = _mm_add_epi32(b, constants);                      \
    cdgh_a = _mm_sha256rnds2_epu32(cdgh_a, abef_a, words_a);            \
    cdgh_b = _mm_sha256rnds2_epu32(cdgh_b, abef_b, words_b);            \
    words_a = _mm_shuffle_epi32(words_a, 0x0E);                         \
    words_b = _mm_shuffle_epi32(words_b, 0x0E);                         \
    abef_a = _mm_sha256rnds2_epu32(abef_a, cdgh_a, words_a);            \
    abef_b = _mm_sha256rnds2_epu32(abef_b, cdgh_b, words_b);            \
  } while (0)

/** The message schedule: completes `next` from the four words before it. */
#define SCHEDULE(previous, current, next) \
  (next) = _mm_sha256msg2_epu32(_mm_add_epi32(next, _mm_alignr_epi8(current, previous, 4)), current)

/** Both messages: rounds with `current`; then `next` is complete and `previous` begun for its next turn. */
#define STEP(g, previous, current, next)                     \
  do {                                                       \
    ROUNDS(g, a##current, b##current);                       \
    SCHEDULE(a##previous, a##current, a##next);              \
    SCHEDULE(b##previous, b##current, b##next);              \
    a##previous = _mm_sha256msg1_epu32(a##previous, a##current); \
    b##previous = _mm_sha256msg1_epu32(b##previous, b##current); \
  } while (0)

LANES void sha256_lanes(uint32_t one_state[8], const uint8_t *one, uint32_t two_state[8], const uint8_t *two,
                        size_t blocks) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bULL, 0x0405060700010203ULL);
  __m128i abef_a, cdgh_a, abef_b, cdgh_b;
  load_state(one_state, &abef_a, &cdgh_a);
  load_state(two_state, &abef_b, &cdgh_b);
  for (; blocks > 0; blocks--, one += 64, two += 64) {
    const __m128i abef_a_before = abef_a, cdgh_a_before = cdgh_a;
    const __m128i abef_b_before = abef_b, cdgh_b_before = cdgh_b;
#define WORDS(from, n) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)((from) + 16 * (n))), big_endian)
    __m128i a0 = WORDS(one, 0), a1 = WORDS(one, 1), a2 = WORDS(one, 2), a3 = WORDS(one, 3);
    __m128i b0 = WORDS(two, 0), b1 = WORDS(two, 1), b2 = WORDS(two, 2), b3 = WORDS(two, 3);
#undef WORDS
    ROUNDS(0, a0, b0);
    ROUNDS(1, a1, b1);
    a0 = _mm_sha256msg1_epu32(a0, a1);
    b0 = _mm_sha256msg1_epu32(b0, b1);
    ROUNDS(2, a2, b2);
    a1 = _mm_sha256msg1_epu32(a1, a2);
    b1 = _mm_sha256msg1_epu32(b1, b2);
    STEP(3, 2, 3, 0);
    STEP(4, 3, 0, 1);
    STEP(5, 0, 1, 2);
    STEP(6, 1, 2, 3);
    STEP(7, 2, 3, 0);
    STEP(8, 3, 0, 1);
    STEP(9, 0, 1, 2);
    STEP(10, 1, 2, 3);
    STEP(11, 2, 3, 0);
    STEP(12, 3, 0, 1);
    ROUNDS(13, a1, b1);
    SCHEDULE(a0, a1, a2);
    SCHEDULE(b0, b1, b2);
    ROUNDS(14, a2, b2);
    SCHEDULE(a1, a2, a3);
    SCHEDULE(b1, b2, b3);
    ROUNDS(15, a3, b3);
    abef_a = _mm_add_epi32(abef_a, abef_a_before);
    cdgh_a = _mm_add_epi32(cdgh_a, cdgh_a_before);
    abef_b = _mm_add_epi32(abef_b, abef_b_before);
    cdgh_b = _mm_add_epi32(cdgh_b, cdgh_b_before);
  }
  store_state(one_state, abef_a, cdgh_a);
  store_state(two_state, abef_b, cdgh_b);
}

#else

int sha256_lanes_available(void) { return 0; }

void sha256_lanes(uint32_t one_state[8], const uint8_t *one, uint32_t two_state[8], const uint8_t *two, size_t blocks) {
  (void)one_state;
  (void)one;
  (void)two_state;
  (void)two;
  (void)blocks;
}

#endif
