import { SealfleetError } from '../sealfleet-error.js'
import { pause, type Exchange, type Transport } from './transport.js'

export interface ReadOptions {
  /** bytes from `start` to `end`, both included and counted from 0; without `end`: to the end of the file */
  readonly range?: { readonly start: number; readonly end?: number | undefined } | undefined
  readonly signal?: AbortSignal | undefined
}

/** A file that is read back. Each of its bytes was authenticated before it was sent. */
export interface StoredContent extends AsyncIterable<Uint8Array> {
  /** bytes that will come */
  readonly length: number
  /** bytes of the whole file */
  readonly size: number
  /** a strong validator: it changes when the file is sealed again */
  readonly etag: string | undefined
}

/** Outages in a row that a download survives without a byte in between. */
const RESUMPTIONS = 4
const PAUSE_MS = 500

/** Begins to read a file. @throws {SealfleetError}; the signal's reason */
export async function openContent(transport: Transport, path: string, options: ReadOptions): Promise<StoredContent> {
  const { range, signal } = options
  const first = await transport.send(asked(path, range && { first: range.start, last: range.end }, undefined, signal))
  const place = placeOf(first, range !== undefined)
  const etag = first.headers.get('etag') ?? undefined
  return {
    ...place,
    etag,
    [Symbol.asyncIterator]: () => bytesOf(transport, { path, first, place, etag, signal }),
  }
}

interface Place {
  /** of the first byte, within the whole file */
  readonly start: number
  readonly length: number
  readonly size: number
}

function asked(
  path: string,
  range: { readonly first: number; readonly last?: number | undefined } | undefined,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Exchange {
  const headers = {
    ...(range !== undefined && { range: `bytes=${range.first}-${range.last ?? ''}` }),
    ...(etag !== undefined && { 'if-range': etag }),
    // A coding would change the lengths.
    'accept-encoding': 'identity',
  }
  return { method: 'GET', path, headers, signal }
}

/** The bytes that an answer says it brings. @throws {SealfleetError} BAD_ANSWER where it does not say so */
function placeOf(response: Response, ranged: boolean): Place {
  const bad = (detail: string): never => {
    void response.body?.cancel()
    const requestId = response.headers.get('x-request-id') ?? undefined
    throw new SealfleetError('BAD_ANSWER', detail, { status: response.status, requestId })
  }
  if (ranged) {
    const [, first, last, whole] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
    if (response.status !== 206 || first === undefined) return bad('a part was asked for, and the answer is none')
    const start = Number(first)
    return { start, length: Number(last) - start + 1, size: Number(whole) }
  }
  const length = response.headers.get('content-length')
  if (length === null || !/^\d+$/.test(length)) return bad('the answer does not say how long the file is')
  return { start: 0, length: Number(length), size: Number(length) }
}

/**
 * The bytes of a download; one that is cut off continues where it was, as long as the file is the same.
 * @throws {SealfleetError} INCOMPLETE when fewer or more bytes came than were announced, or none for too long
 */
async function* bytesOf(
  transport: Transport,
  download: {
    readonly path: string
    readonly first: Response
    readonly place: Place
    readonly etag: string | undefined
    readonly signal: AbortSignal | undefined
  },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { path, place, etag, signal } = download
  let response = download.first
  let received = 0
  let cuts = 0
  for (;;) {
    let cut: unknown
    try {
      for await (const chunk of chunksOf(response, transport.stallMs, signal)) {
        received += chunk.length
        cuts = 0
        if (received > place.length) break
        yield chunk
      }
    } catch (error) {
      signal?.throwIfAborted()
      cut = error
    }
    if (received === place.length) return
    const requestId = response.headers.get('x-request-id') ?? undefined
    const error = new SealfleetError('INCOMPLETE', `${received} of ${place.length} bytes came`, {
      cause: cut,
      requestId,
      retryable: true,
      fix: 'What came is authentic, and not the whole: do not use it as such. Read the file again.',
    })
    if (received > place.length || etag === undefined || cuts === RESUMPTIONS) throw error
    await pause(PAUSE_MS * cuts, signal)
    cuts += 1
    const rest = { first: place.start + received, last: place.start + place.length - 1 }
    response = await transport.send(asked(path, rest, etag, signal))
    const next = response.status === 206 ? placeOf(response, true) : undefined
    if (next?.start !== rest.first || response.headers.get('etag') !== etag) {
      void response.body?.cancel()
      throw error
    }
  }
}

/** The chunks of a body, each within a time. The body is given up when the reader stops. */
async function* chunksOf(
  response: Response,
  stallMs: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (response.body === null) return
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let stalled = false
  try {
    for (;;) {
      const timer = setTimeout(() => {
        stalled = true
        void reader.cancel()
      }, stallMs)
      const stop = (): void => void reader.cancel()
      signal?.addEventListener('abort', stop, { once: true })
      const { done, value } = await reader.read().finally(() => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', stop)
      })
      signal?.throwIfAborted()
      if (stalled) throw new Error(`no byte came for ${stallMs} ms`)
      if (done) return
      yield value
    }
  } finally {
    // Without this a reader that stops early would leave the connection open.
    await reader.cancel().catch(() => undefined)
  }
}
