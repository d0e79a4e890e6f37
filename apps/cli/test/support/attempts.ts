import { createSealer, freshNonces, type Suite } from '@sealfleet/format'
import { HsmPool } from '@sealfleet/hsm'
import { objectMetadata, openStore, type Store } from '@sealfleet/store'
import { randomUUID } from 'node:crypto'
import type { World } from './world.js'

export interface AttemptInput {
  readonly fileId: string
  readonly content: Buffer
  readonly attemptNo: number
  readonly attemptId?: string
  readonly domain?: string
  readonly suite?: Suite
  readonly keyVersion?: number
  readonly context?: Buffer
  /** Left out of the metadata. */
  readonly hideContext?: boolean
  /** Takes the place of what the metadata would be, or adds to it. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Stored here instead of at its place. */
  readonly at?: string
  /** Changes the sealed bytes. */
  readonly spoil?: (object: Buffer) => void
}

export interface Attempted {
  readonly attemptId: string
  readonly key: string
  readonly object: Buffer
}

interface PutOf {
  readonly fileId: string
  readonly attemptId: string
  readonly context?: Buffer
  readonly metadata?: Readonly<Record<string, string>>
}

/** Seals attempts as a worker would that never reached its commit, and gives access to the store they lie in. */
export interface Attempts extends AsyncDisposable {
  readonly store: Store
  seal(input: AttemptInput): Promise<Attempted>
  put(key: string, bytes: Buffer, of?: PutOf): Promise<void>
}

export async function openAttempts({ env }: World): Promise<Attempts> {
  const pool = await HsmPool.open({
    tokens: [
      {
        module: env['SEALFLEET_PKCS11_MODULE'] ?? '',
        token: env['SEALFLEET_PKCS11_TOKEN'] ?? '',
        pin: { kind: 'value', value: Buffer.from(env['SEALFLEET_PKCS11_PIN'] ?? '') },
        env: { SOFTHSM2_CONF: env['SOFTHSM2_CONF'] ?? '' },
      },
    ],
    agents: 1,
    sessions: 2,
  })
  const store = await openStore({
    endpoint: env['SEALFLEET_S3_ENDPOINT'] ?? '',
    region: env['SEALFLEET_S3_REGION'] ?? '',
    bucket: env['SEALFLEET_S3_BUCKET'] ?? '',
    accessKeyId: env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
  })
  const put: Attempts['put'] = async (key, bytes, of) => {
    const body = (async function* () {
      yield await Promise.resolve(bytes)
    })()
    const metadata = objectMetadata({
      fileId: of?.fileId ?? randomUUID(),
      attemptId: of?.attemptId ?? randomUUID(),
      context: of?.context ?? Buffer.of(),
    })
    await store.put({ key, body, length: bytes.length, metadata: { ...metadata, ...of?.metadata } })
  }
  return {
    store,
    put,
    seal: async (input) => {
      const { fileId, content, attemptNo, domain = 'default', keyVersion = 1, context = Buffer.of() } = input
      const attemptId = input.attemptId ?? randomUUID()
      using sealer = await createSealer(
        {
          ...{ suite: input.suite ?? 1, fileId, attemptId, attemptNo, keyDomain: domain, kekVersion: 0, segLog2: 16 },
          ...{ encKeyVersion: keyVersion, sigKeyVersion: keyVersion, ...freshNonces(), context, createdMs: Date.now() },
        },
        pool,
      )
      const chunks: Uint8Array[] = []
      const plaintext = (async function* () {
        yield await Promise.resolve(content)
      })()
      for await (const chunk of sealer.seal(plaintext, { chunkSize: 1 << 16, plaintextLength: content.length }))
        chunks.push(Buffer.from(chunk))
      const object = Buffer.concat(chunks)
      input.spoil?.(object)
      const key = input.at ?? `${domain}/${fileId}/${attemptId}`
      await put(key, object, {
        ...{ fileId, attemptId },
        ...(input.hideContext !== true && { context }),
        ...(input.metadata !== undefined && { metadata: input.metadata }),
      })
      return { attemptId, key, object }
    },
    async [Symbol.asyncDispose]() {
      store.close()
      await pool.close()
    },
  }
}
