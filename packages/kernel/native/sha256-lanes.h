/** SHA-256 of two independent messages at once, by the SHA extensions of x86-64 processors. */
#ifndef SEALFLEET_SHA256_LANES_H
#define SEALFLEET_SHA256_LANES_H

#include <stddef.h>
#include <stdint.h>

/** Whether this processor has the instructions. */
int sha256_lanes_available(void);

/** Compresses `blocks` blocks of 64 bytes of each message into its state, eight words each. Only where available. */
void sha256_lanes(uint32_t one_state[8], const uint8_t *one, uint32_t two_state[8], const uint8_t *two, size_t blocks);

#endif
