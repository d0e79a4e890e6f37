import { text } from '../variable.js'

/** A token's label: at most 32 bytes in PKCS#11. */
export const tokenLabel = text.refine((value) => Buffer.byteLength(value) <= 32, { error: 'is longer than 32 bytes' })
