/** AES-CTR with sixteen blocks in flight, by the VAES extension of x86-64 processors. */
#ifndef SEALFLEET_AES_WIDE_H
#define SEALFLEET_AES_WIDE_H

#include <stddef.h>
#include <stdint.h>

/** Key schedule and counter. Whoever begins it clears it. */
struct aes_wide {
  uint8_t round_keys[15][16];
  int rounds;
  uint64_t high;
  uint64_t low;
};

/** Whether this processor and its operating system have the instructions. */
int aes_wide_available(void);

/** `key_length` is 16 or 32; `counter` is the first block's, big-endian. Only where available, as all of this. */
void aes_wide_begin(struct aes_wide *state, const uint8_t *key, size_t key_length, const uint8_t counter[16]);

/** Encrypts or decrypts in place and moves the counter on. Only the last call may have a length that is not whole blocks. */
void aes_wide_apply(struct aes_wide *state, uint8_t *data, size_t length);

#endif
