import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FrameParser, frameSize, KIND, MAX_FRAME, putFrame, type Kind } from '../src/wire/frames.js'
import { packAead, packKeyed, unpackAead, unpackKeyed } from '../src/wire/messages.js'

interface Seen {
  kind: number
  id: number
  payload: string
}

function parseIn(chunks: readonly Buffer[]): Seen[] {
  const seen: Seen[] = []
  const parser = new FrameParser(({ kind, id, payload }) => seen.push({ kind, id, payload: payload.toString('hex') }))
  for (const chunk of chunks) parser.push(chunk)
  return seen
}

function encodeFrame(kind: Kind, id: number, parts: readonly Uint8Array[]): Buffer {
  const length = frameSize(parts)
  const frame = Buffer.alloc(length)
  putFrame(frame, 0, { kind, id, parts, length })
  return frame
}

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    const frame = fc.record({ id: fc.nat(0xffff_ffff), payload: fc.uint8Array({ maxLength: 200 }) })
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.nat(400), { maxLength: 40 }), (frames, cuts) => {
        const stream = Buffer.concat(frames.map(({ id, payload }) => encodeFrame(KIND.OK, id, [payload])))
        const chunks: Buffer[] = []
        let rest = stream
        for (const cut of cuts) {
          chunks.push(Buffer.from(rest.subarray(0, cut)))
          rest = rest.subarray(cut)
        }
        const expected = frames.map(({ id, payload }) => ({
          kind: KIND.OK,
          id,
          payload: Buffer.from(payload).toString('hex'),
        }))
        expect(parseIn([...chunks, Buffer.from(rest)])).toEqual(expected)
      }),
    )
  })

  it('leave no trace in the buffers they came in', () => {
    const chunk = Buffer.concat([encodeFrame(KIND.OK, 1, [Buffer.alloc(32, 0xaa)]), encodeFrame(KIND.OK, 2, [])])
    let payload: Buffer | undefined
    const parser = new FrameParser((frame) => (payload ??= frame.payload))
    const [first, second] = [chunk.subarray(0, 20), chunk.subarray(20)]
    parser.push(first)
    parser.push(second)
    expect(chunk.equals(Buffer.alloc(chunk.length))).toBe(true)
    expect(payload?.equals(Buffer.alloc(32))).toBe(true)
  })

  it.each([
    ['shorter than its header', 4],
    ['longer than any of ours', MAX_FRAME],
  ])('of a length %s end the stream', (_name, length) => {
    const head = Buffer.alloc(9)
    head.writeUInt32BE(length)
    expect(() => parseIn([head])).toThrow(RangeError)
  })

  it('carry keyed and sealed payloads, empty parts included', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), fc.uint8Array({ maxLength: 120 }), (aad, input) => {
        const keyed = unpackKeyed(Buffer.concat(packKeyed('a/label', input)))
        expect(keyed.label).toBe('a/label')
        expect(keyed.message.equals(input)).toBe(true)
        const sealed = unpackAead(Buffer.concat(packAead('a/label', aad, input)))
        expect(sealed.aad.equals(aad) && sealed.input.equals(input)).toBe(true)
      }),
    )
    expect(() => unpackKeyed(Buffer.from([9, 65]))).toThrow(RangeError)
    expect(() => unpackAead(Buffer.concat(packKeyed('l', Buffer.from([0, 9]))))).toThrow(RangeError)
  })
})
