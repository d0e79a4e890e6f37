import type { Store } from '@sealfleet/store'

import {
  CHECKPOINT_PREFIX,
  checkpointKey,
  checkpointNoOf,
  decodeCopy,
  encodeCopy,
  type CheckpointCopy,
} from './body.js'

/** A copy has some hundred bytes; anything much larger is not a checkpoint. */
const MOST_BYTES = 64 * 1024

/**
 * Writes a copy, never over another. `there`: the same copy is already there; `other`: another object is, which is a
 * finding. @throws StoreError
 */
export async function putCopy(
  store: Store,
  no: number,
  copy: CheckpointCopy,
  signal?: AbortSignal,
): Promise<'written' | 'there' | 'other'> {
  const bytes = encodeCopy(copy)
  const key = checkpointKey(no)
  const lying = await readBytes(store, key, signal)
  if (lying !== undefined) return lying.equals(bytes) ? 'there' : 'other'
  try {
    await store.put({
      key,
      body: only(bytes),
      length: bytes.length,
      metadata: {},
      ...(signal !== undefined && { signal }),
    })
    return 'written'
  } catch (error) {
    if (codeOf(error) !== 'S3_OBJECT_EXISTS') throw error
    // Another process was faster, or our first request was, whose answer was lost.
    const now = await readBytes(store, key, signal)
    return now?.equals(bytes) === true ? 'there' : 'other'
  }
}

/** The copy of a number: undefined when there is none, null when the object there is not a copy. */
export async function readCheckpointCopy(
  store: Store,
  no: number,
  signal?: AbortSignal,
): Promise<CheckpointCopy | null | undefined> {
  const bytes = await readBytes(store, checkpointKey(no), signal)
  return bytes === undefined ? undefined : (decodeCopy(bytes) ?? null)
}

/** The numbers of all copies, ascending. */
export async function listCopyNumbers(store: Store, signal?: AbortSignal): Promise<readonly number[]> {
  const numbers: number[] = []
  for await (const { key } of store.list(CHECKPOINT_PREFIX, request(signal))) {
    const no = checkpointNoOf(key)
    if (no !== undefined) numbers.push(no)
  }
  return numbers.sort((a, b) => a - b)
}

async function readBytes(store: Store, key: string, signal?: AbortSignal): Promise<Buffer | undefined> {
  try {
    const head = await store.head(key, request(signal))
    if (head.length > MOST_BYTES) return Buffer.of()
    const pin = head.version === undefined ? { etag: head.etag } : { version: head.version }
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader({ key, length: head.length, ...pin }).read(0, head.length, request(signal)))
      chunks.push(chunk)
    return Buffer.concat(chunks)
  } catch (error) {
    if (codeOf(error) === 'S3_NO_SUCH_OBJECT') return undefined
    throw error
  }
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes)
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function request(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
