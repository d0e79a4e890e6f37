import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import path from 'node:path'

import { loadConfig } from '@sealfleet/config'
import { createToken, type TokenScope } from '@sealfleet/records/tokens'
import { openRecords, type Records } from '@sealfleet/records'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { makeKeys, startFleet, type TestFleet } from '@sealfleet/testkit/fleet'

import { runWorker } from '../../worker/dist/run.js'
import { runGateway } from '../src/run.js'

export const EVERY_SCOPE: readonly TokenScope[] = ['enqueue', 'upload', 'read', 'verify', 'remove', 'on-call']

/** A fleet with keys in two domains, and a gateway on it. */
export interface World extends AsyncDisposable {
  readonly fleet: TestFleet
  readonly env: Readonly<Record<string, string>>
  readonly records: Records
  readonly port: number
  /** Of every scope and domain. */
  readonly token: string
  /** The id of the domain `acme`. */
  readonly acme: string
  /** What the gateway has logged. */
  readonly lines: readonly Line[]
  newToken(scopes: readonly TokenScope[], domains?: readonly string[]): Promise<string>
  worker(): Promise<AsyncDisposable>
  /** Writes a file below the root. */
  source(name: string, bytes: Uint8Array | string): Promise<string>
  ask(method: string, url: string, o?: Ask): Promise<Reply>
}

export interface Line {
  readonly msg: string
  readonly requestId?: string
  readonly code?: string
  readonly operation?: string
  readonly httpStatus?: number
}

export interface Ask {
  /** null: none. */
  readonly token?: string | null
  readonly body?: unknown
  readonly raw?: string | Buffer
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Buffer
  readonly whole: boolean
  json<T = Record<string, unknown>>(): T
}

export async function startWorld(settings: Readonly<Record<string, string>> = {}): Promise<World> {
  const fleet = await startFleet()
  const env = { ...fleet.env, SEALFLEET_GATEWAY_PORT: '0', SEALFLEET_HSM_AGENTS: '1', ...settings }
  const records = await openRecords(fleet.database.url)
  const acme = randomUUID()
  await makeKeys(records, fleet.token, { id: 'default' })
  await makeKeys(records, fleet.token, { id: acme, name: 'acme' })
  const lines: Line[] = []
  const log = createLogger({
    name: 'gateway',
    destination: { write: (line: string) => void lines.push(JSON.parse(line) as Line) },
  })
  const configOf = <N extends Parameters<typeof loadConfig>[1]['needs'][number]>(needs: readonly N[]) => {
    const loaded = loadConfig<N>(env, { needs })
    return { ...loaded, passthroughEnv: { ...loaded.passthroughEnv, ...fleet.token.env } }
  }
  const metrics = createMetrics({ processMetrics: false })
  const config = configOf(['database', 'redis', 's3', 'hsm', 'gateway'])
  const gateway = await runGateway({ config, log, metrics, id: `test-${randomUUID().slice(0, 8)}` })
  const newToken: World['newToken'] = async (scopes, domains) => {
    const name = `t-${randomUUID().slice(0, 13)}x`
    const input = { name, scopes, domains: domains ?? null, expiresSeconds: 3_600, createdBy: 'test' }
    return (await createToken(records, input)).text
  }
  const token = await newToken(EVERY_SCOPE)
  return {
    ...{ fleet, env, records, port: gateway.port, token, acme, lines, newToken },
    worker: () =>
      runWorker({
        config: configOf(['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops']),
        log: createLogger({ name: 'worker', level: 'fatal', destination: { write: () => undefined } }),
        metrics: createMetrics({ processMetrics: false }),
        workerId: `test-${randomUUID().slice(0, 8)}`,
      }),
    source: async (name, bytes) => {
      await writeFile(path.join(fleet.root, name), bytes)
      return name
    },
    ask: (method, url, o = {}) => ask(gateway.port, method, url, { token, ...o }),
    async [Symbol.asyncDispose]() {
      await gateway.stop()
      await records.close()
      await fleet[Symbol.asyncDispose]()
    },
  }
}

export function ask(port: number, method: string, url: string, o: Ask): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const body = o.raw ?? (o.body === undefined ? undefined : JSON.stringify(o.body))
    const headers = {
      ...(typeof o.token === 'string' && { authorization: `Bearer ${o.token}` }),
      ...(o.body !== undefined && { 'content-type': 'application/json' }),
      ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      ...o.headers,
    }
    const sent = httpRequest({ port, host: '127.0.0.1', path: url, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      const done = (): void => {
        const bytes = Buffer.concat(chunks)
        resolve({
          ...{ status: response.statusCode ?? 0, headers: response.headers, bytes, whole: response.complete },
          json: <T>() => JSON.parse(bytes.toString()) as T,
        })
      }
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', done)
      // A connection that breaks within the body.
      response.on('error', done)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
