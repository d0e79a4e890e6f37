import { Writable } from 'node:stream'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FrameWriter } from '../src/wire/frame-writer.js'
import { FrameParser, KIND } from '../src/wire/frames.js'

/** Keeps the buffers it was given and what was in them; says that they are written when `finish` is called. */
class Slow extends Writable {
  readonly buffers: Buffer[] = []
  readonly contents: Buffer[] = []
  finish: (error?: Error) => void = () => undefined

  override _write(chunk: Buffer, _encoding: string, written: (error?: Error | null) => void): void {
    this.buffers.push(chunk)
    this.contents.push(Buffer.from(chunk))
    this.finish = written
  }
}

const nextTurn = async () => new Promise<void>((resolve) => setImmediate(resolve))

describe('a writer of frames', () => {
  it('writes the frames of one turn at once, and wipes them when they are written, not before', async () => {
    const stream = new Slow()
    const writer = new FrameWriter(stream)
    const key = Buffer.alloc(32, 0xaa)
    writer.send(KIND.OK, 1, [key])
    writer.send(KIND.OK, 2, [key])
    expect(stream.buffers).toHaveLength(0)
    await nextTurn()
    expect(stream.buffers.map(({ length }) => length)).toEqual([2 * (9 + 32)])
    expect(stream.buffers[0]?.includes(key)).toBe(true)
    stream.finish()
    await nextTurn()
    expect(stream.buffers[0]?.every((byte) => byte === 0)).toBe(true)
  })

  it('wipes what could not be written', async () => {
    const stream = new Slow().on('error', () => undefined)
    const writer = new FrameWriter(stream)
    writer.send(KIND.OK, 1, [Buffer.alloc(32, 0xaa)])
    await nextTurn()
    stream.finish(new Error('broken'))
    await nextTurn()
    expect(stream.buffers[0]?.every((byte) => byte === 0)).toBe(true)
  })

  it('never writes into a buffer that is still on its way', async () => {
    const stream = new Slow()
    const writer = new FrameWriter(stream)
    writer.send(KIND.OK, 1, [Buffer.alloc(32, 0xaa)])
    await nextTurn()
    const before = Buffer.from(stream.buffers[0] ?? [])
    writer.send(KIND.OK, 2, [Buffer.alloc(32, 0xbb)])
    await nextTurn()
    expect(stream.buffers[0]?.equals(before)).toBe(true)
  })

  it('can be flushed by who ends the stream', async () => {
    const stream = new Slow()
    const writer = new FrameWriter(stream)
    writer.sendJson(KIND.FAILED, 0, { text: 'no' })
    writer.flush()
    stream.end()
    await nextTurn()
    expect(stream.contents).toHaveLength(1)
  })

  it('loses nothing and keeps the order, whatever the sizes and turns', async () => {
    const sizes = fc.array(fc.array(fc.oneof(fc.nat(300), fc.integer({ min: 8_000, max: 20_000 })), { maxLength: 6 }), {
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(sizes, async (turns) => {
        const seen: string[] = []
        const parser = new FrameParser(({ id, payload }) => {
          seen.push(`${id}:${payload.length}:${String(payload.every((byte) => byte === id % 256))}`)
        })
        const stream = new Writable({
          write: (chunk: Buffer, _encoding, written) => {
            parser.push(Buffer.from(chunk))
            setImmediate(written)
          },
        })
        const writer = new FrameWriter(stream)
        let id = 0
        for (const turn of turns) {
          for (const size of turn) {
            id += 1
            writer.send(KIND.OK, id, [Buffer.alloc(size, id % 256)])
          }
          await nextTurn()
        }
        await new Promise<void>((resolve) => stream.end(resolve))
        expect(seen).toEqual(turns.flat().map((size, index) => `${index + 1}:${size}:true`))
      }),
      { numRuns: 40 },
    )
  })
})
