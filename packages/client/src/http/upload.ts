import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Body } from './transport.js'

/** What can be uploaded. A stream is read once, so such an upload is not repeated after an outage. */
export type UploadSource =
  | Uint8Array
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  /** a file of this machine */
  | { readonly path: string }

export interface UploadOptions {
  /** a UUID, or any text that names the file in your system; without it the file gets a random UUID */
  readonly id?: string | undefined
  /** its name, kept with the file; no path of any machine */
  readonly name?: string | undefined
  /** key domain, by its name or its id; `default` when not given */
  readonly domain?: string | undefined
  /** 0 to 1,024 bytes to bind to the file: authenticated with it, but not encrypted */
  readonly context?: Uint8Array | undefined
  /**
   * SHA-256 of the bytes, 32 bytes, that the gateway compares with what comes. Bytes, Blobs and files are read once more
   * to compute it; `false`: not computed. A stream has none unless it is given
   */
  readonly sha256?: Uint8Array | false | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes that are ready to be sent. */
export interface Upload {
  readonly body: () => Body
  readonly headers: Readonly<Record<string, string>>
  readonly repeatable: boolean
  /** throws the source's own error, which `fetch` reports as one of the connection */
  readonly check: () => void
}

/** @throws the errors of a file that cannot be read */
export async function prepareUpload(source: UploadSource, sha256: Uint8Array | false | undefined): Promise<Upload> {
  const given = sha256 === undefined || sha256 === false ? undefined : digestHeader(sha256)
  const wanted = sha256 === undefined
  const check = (): void => undefined
  if (source instanceof Uint8Array) {
    const digest = wanted ? digestHeader(createHash('sha256').update(source).digest()) : given
    return { body: () => source as Uint8Array<ArrayBuffer>, headers: { ...digest }, repeatable: true, check }
  }
  if (source instanceof Blob) {
    const digest = wanted ? digestHeader(await hashOf(source.stream())) : given
    return { body: () => source, headers: { ...digest }, repeatable: true, check }
  }
  if ('path' in source) {
    const { path } = source
    const { size } = await stat(path)
    const digest = wanted ? digestHeader(await hashOf(createReadStream(path))) : given
    const headers = { 'content-length': String(size), ...digest }
    return { ...watched(() => createReadStream(path)), headers, repeatable: true }
  }
  return { ...watched(() => source), headers: { ...given }, repeatable: false }
}

function watched(open: () => AsyncIterable<Uint8Array>): Pick<Upload, 'body' | 'check'> {
  let failed: { readonly error: unknown } | undefined
  async function* bytes(): AsyncGenerator<Uint8Array> {
    try {
      yield* open()
    } catch (error) {
      failed = { error }
      throw error
    }
  }
  const check = (): void => {
    if (failed !== undefined) throw failed.error
  }
  return { body: () => Readable.toWeb(Readable.from(bytes())) as Body, check }
}

/** Content-Digest of RFC 9530. */
function digestHeader(sha256: Uint8Array): { readonly 'content-digest': string } {
  return { 'content-digest': `sha-256=:${Buffer.from(sha256).toString('base64')}:` }
}

async function hashOf(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of bytes) hash.update(chunk)
  return hash.digest()
}
