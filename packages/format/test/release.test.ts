import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { release } from '../src/release.js'

const MIB = 2 ** 20

describe('release', () => {
  it('frees at once, before any garbage collection, now and after the event loop has turned', async () => {
    for (let turn = 0; turn < 3; turn++) {
      const before = process.memoryUsage().arrayBuffers
      for (let i = 0; i < 200; i++) {
        const buffer = Buffer.allocUnsafeSlow(MIB)
        release(buffer)
        expect(buffer).toHaveLength(0)
      }
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * MIB)
      await setImmediate()
    }
  })

  it('leaves alone what is small or shared', () => {
    const small = Buffer.alloc(100, 1)
    const shared = Buffer.alloc(MIB, 1).subarray(1)
    release(small)
    release(shared)
    expect(small).toHaveLength(100)
    expect(shared[0]).toBe(1)
  })
})
