/** Checks of numbers that go into fixed-width fields. */

/** Throws RangeError unless `value` is an integer of [min, 2^32 − 1]. */
export function checkU32(value: number, name: string, min = 0): void {
  if (!Number.isInteger(value) || value < min || value > 0xffffffff) {
    throw new RangeError(`${name} must be an integer from ${min} to 2^32 - 1`)
  }
}

export function u32(value: number, name = 'value'): Buffer {
  checkU32(value, name)
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Writes a safe integer ≥ 0 as u64. */
export function writeU64(target: Buffer, value: number, offset: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError('a u64 must be a safe integer ≥ 0')
  target.writeUInt32BE(Math.floor(value / 2 ** 32), offset)
  target.writeUInt32BE(value % 2 ** 32, offset + 4)
}

/** Reads a u64; beyond 2^53 the nearest double, which differs from every accepted length. */
export function readU64(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * 2 ** 32 + source.readUInt32BE(offset + 4)
}
