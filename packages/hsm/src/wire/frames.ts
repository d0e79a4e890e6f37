/**
 * The wire between a process and its agent: frames on an inherited socket pair.
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 4 | length of what follows, big-endian |
 * | 4 | 1 | kind |
 * | 5 | 4 | request id, 0 where none |
 * | 9 | n | payload: raw bytes, or JSON |
 *
 * Frames may carry derived keys, so every buffer a frame passed through is filled with zeros: the one written once the
 * kernel has it, the one received once it is parsed.
 */
export const KIND = {
  // to the agent
  CONFIG: 1,
  LOGIN: 2,
  HMAC: 3,
  KCV: 4,
  WRAP: 5,
  UNWRAP: 6,
  EXPECT: 7,
  ADMIN: 8,
  BIND: 9,
  CLOSE: 10,
  PING: 11,
  SEAL: 12,
  ANSWER: 13,
  // from the agent
  WANT_LOGIN: 64,
  LOGGED_IN: 65,
  READY: 66,
  FAILED: 67,
  OK: 68,
  ERROR: 69,
  BEAT: 70,
  NOTICE: 71,
} as const
export type Kind = (typeof KIND)[keyof typeof KIND]

const HEADER = 9
export const MAX_FRAME = 1 << 20

export interface Frame {
  readonly kind: number
  readonly id: number
  /** A view into a buffer that is wiped when the handler returns: copy bytes that must last. */
  readonly payload: Buffer
}

/** Bytes of a frame with these parts. Throws RangeError above {@link MAX_FRAME}. */
export function frameSize(parts: readonly Uint8Array[]): number {
  let length = HEADER
  for (const part of parts) length += part.length
  if (length > MAX_FRAME) throw new RangeError(`a frame of ${length} bytes is longer than ${MAX_FRAME}`)
  return length
}

/** Writes a frame of `length` bytes (its {@link frameSize}) at `offset`; the caller's parts are copied, not wiped. */
export function putFrame(
  into: Buffer,
  offset: number,
  frame: { readonly kind: Kind; readonly id: number; readonly parts: readonly Uint8Array[]; readonly length: number },
): void {
  into.writeUInt32BE(frame.length - 4, offset)
  into[offset + 4] = frame.kind
  into.writeUInt32BE(frame.id, offset + 5)
  let at = offset + HEADER
  for (const part of frame.parts) {
    into.set(part, at)
    at += part.length
  }
}

/** The JSON payload of a frame. Both ends are built together, so its shape is not checked. */
export function decodeJson<T>(frame: Frame): T {
  return JSON.parse(frame.payload.toString('utf8')) as T
}

/**
 * Cuts a byte stream into frames. `push` calls the handler once per complete frame and wipes the chunk it was given. It
 * throws RangeError on a length that our writers never send; the stream is useless afterwards.
 */
export class FrameParser {
  #pending: Buffer = Buffer.allocUnsafeSlow(256)
  #length = 0
  readonly #handle: (frame: Frame) => void

  constructor(handle: (frame: Frame) => void) {
    this.#handle = handle
  }

  push(chunk: Buffer): void {
    try {
      let rest = chunk
      while (rest.length > 0) {
        if (this.#length === 0) rest = this.#takeWhole(rest)
        if (rest.length > 0) rest = this.#fill(rest)
      }
    } finally {
      chunk.fill(0)
    }
  }

  /** Passes on the frames that lie completely in `chunk`, without a copy; returns the rest. */
  #takeWhole(chunk: Buffer): Buffer {
    let rest = chunk
    while (rest.length >= HEADER) {
      const end = frameLength(rest)
      if (rest.length < end) break
      this.#emit(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    return rest
  }

  /** Adds to the frame begun in an earlier chunk; returns the bytes after it. */
  #fill(chunk: Buffer): Buffer {
    const wanted = this.#length < 4 ? 4 : frameLength(this.#pending)
    this.#reserve(wanted)
    const taken = Math.min(wanted - this.#length, chunk.length)
    chunk.copy(this.#pending, this.#length, 0, taken)
    this.#length += taken
    if (this.#length >= HEADER && this.#length === frameLength(this.#pending)) {
      const length = this.#length
      this.#length = 0
      try {
        this.#emit(this.#pending.subarray(0, length))
      } finally {
        this.#pending.fill(0, 0, length)
      }
    }
    return chunk.subarray(taken)
  }

  #reserve(length: number): void {
    if (this.#pending.length >= length) return
    const larger = Buffer.allocUnsafeSlow(length)
    this.#pending.copy(larger, 0, 0, this.#length)
    this.#pending.fill(0)
    this.#pending = larger
  }

  #emit(bytes: Buffer): void {
    this.#handle({ kind: bytes.readUInt8(4), id: bytes.readUInt32BE(5), payload: bytes.subarray(HEADER) })
  }
}

function frameLength(bytes: Buffer): number {
  const length = bytes.readUInt32BE(0) + 4
  if (length < HEADER || length > MAX_FRAME) throw new RangeError('a frame of impossible length')
  return length
}
