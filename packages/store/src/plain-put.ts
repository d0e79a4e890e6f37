import { SignatureV4 } from '@smithy/signature-v4'
import type { NodeHttpHandler } from '@smithy/node-http-handler'
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { StoreOptions } from './types.js'

/** Limits of one request, as the SDK's `send` takes them. */
export interface SendOptions {
  readonly abortSignal: AbortSignal
  readonly requestTimeout: number
}

/** The store's answer to a put, in the SDK's terms. */
export interface PutAnswer {
  readonly ETag?: string | undefined
  readonly VersionId?: string | undefined
  readonly ChecksumCRC32?: string | undefined
}

export interface PlainPutRequest {
  readonly key: string
  readonly data: Uint8Array
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly ifNoneMatch: boolean
}

/** After an answer that says that the store is in trouble, milliseconds, times a random number: as the SDK has it. */
const PAUSE_MS = 100

/**
 * The first try of a put in one request, signed and sent without the SDK's command, over its connections. The command's
 * middleware takes 0.9 ms of CPU, more than all the rest of a small object's put (docs/decisions/0036). Only success is
 * handled here: after any other outcome the command is sent, which knows the store's errors and tries again.
 *
 * For stores with an endpoint of their own and the bucket in the path. The endpoints of AWS are left to the SDK.
 */
export class PlainPut {
  readonly #handler: NodeHttpHandler
  readonly #signer: SignatureV4
  readonly #endpoint: URL
  readonly #path: string
  readonly #checksum: boolean
  readonly #unsigned: boolean
  readonly #clockOffset: () => number

  /** @param clockOffset milliseconds by which the store's clock is ahead of ours, as the SDK has learnt it */
  constructor(
    options: StoreOptions & { readonly endpoint: string },
    handler: NodeHttpHandler,
    clockOffset: () => number,
  ) {
    const { region, accessKeyId, secretAccessKey, sessionToken } = options
    this.#handler = handler
    this.#clockOffset = clockOffset
    this.#endpoint = new URL(options.endpoint)
    this.#path = `${this.#endpoint.pathname.replace(/\/$/, '')}/${options.bucket}/`
    this.#checksum = options.checksums !== 'when-required'
    this.#unsigned = options.unsignedPayload === true && this.#endpoint.protocol === 'https:'
    this.#signer = new SignatureV4({
      service: 's3',
      region,
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
      sha256: Sha256,
      uriEscapePath: false,
    })
  }

  /** Undefined: the SDK must try. Throws when the signal is aborted. */
  async send(request: PlainPutRequest, { abortSignal, requestTimeout }: SendOptions): Promise<PutAnswer | undefined> {
    try {
      const signingDate = new Date(Date.now() + this.#clockOffset())
      const signed = await this.#signer.sign(this.#requestOf(request), { signingDate })
      const { response } = await this.#handler.handle(signed as Parameters<NodeHttpHandler['handle']>[0], {
        abortSignal,
        requestTimeout,
      })
      const { statusCode, headers } = response
      for await (const _ of response.body as AsyncIterable<unknown>) continue
      if (statusCode === 200)
        return {
          ETag: headers['etag'],
          VersionId: headers['x-amz-version-id'],
          ChecksumCRC32: headers['x-amz-checksum-crc32'],
        }
      if (statusCode === 429 || statusCode >= 500)
        await setTimeout(Math.random() * PAUSE_MS, undefined, { signal: abortSignal })
    } catch {
      abortSignal.throwIfAborted()
    }
    return undefined
  }

  #requestOf({ key, data, contentType, metadata, ifNoneMatch }: PlainPutRequest) {
    const { protocol, hostname, host, port } = this.#endpoint
    return {
      method: 'PUT',
      protocol,
      // Node takes an IPv6 address without the brackets of a URL.
      hostname: hostname.replace(/^\[|\]$/g, ''),
      ...(port !== '' && { port: Number(port) }),
      path: this.#path + key.split('/').map(escaped).join('/'),
      query: {},
      headers: {
        host,
        'content-type': contentType,
        'content-length': String(data.byteLength),
        'user-agent': 'app/sealfleet',
        ...(this.#checksum && { 'x-amz-sdk-checksum-algorithm': 'CRC32', 'x-amz-checksum-crc32': crc32Of(data) }),
        ...(this.#unsigned && { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }),
        ...(ifNoneMatch && { 'if-none-match': '*' }),
        ...Object.fromEntries(
          Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name.toLowerCase()}`, value]),
        ),
      },
      body: data,
    }
  }
}

/** As S3 wants a path's segments escaped (RFC 3986). */
function escaped(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function crc32Of(data: Uint8Array): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(data))
  return bytes.toString('base64')
}

/** The signer's hash. */
class Sha256 {
  readonly #hash: Hash | Hmac

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secretBytes(secret))
  }

  update(data: Uint8Array): void {
    this.#hash.update(data)
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()))
  }

  reset(): void {
    throw new Error('each hash is used once')
  }
}

function secretBytes(secret: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof secret === 'string') return secret
  if (secret instanceof ArrayBuffer) return new Uint8Array(secret)
  return new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength)
}
