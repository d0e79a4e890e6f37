import { text } from '../variable.js'

/** A token's label: PKCS#11 has 32 bytes for it. */
export const tokenLabel = text.refine((value) => Buffer.byteLength(value) <= 32, { error: 'is longer than 32 bytes' })
