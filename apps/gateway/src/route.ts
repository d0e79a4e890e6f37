import type { TokenScope } from '@sealfleet/records/tokens'
import type { Caller } from './access.js'
import type { Schema } from './schemas.js'
import type { Services } from './services.js'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

/** What a handler gets of a request: everything is validated. */
export interface Asked {
  readonly caller: Caller
  readonly requestId: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string | number | undefined>>
  readonly body: unknown
  /** Names in lower case, each sent once. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Aborts when the client has gone, or the gateway ends. */
  readonly signal: AbortSignal
}

/** An answer of JSON, or one that its handler writes itself. */
export type Answer =
  | { readonly status: number; readonly body: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly content: Content | null }

/** Plaintext of a file, a segment at a time. Buffers belong to the receiver, who overwrites them. */
export interface Content {
  readonly fileId: string
  readonly bytes: AsyncIterable<Buffer>
  /** Closes the object and wipes its keys. Any number of calls. */
  close(): void
}

/** One operation: what the server does, what the document says, and what a test walks. */
export interface Route {
  readonly method: Method
  /** With `{name}` for parameters, as in OpenAPI. */
  readonly path: string
  /** The name of the operation, in the document, the log and the metrics. */
  readonly operation: string
  readonly scope: TokenScope
  readonly summary: string
  readonly query?: Readonly<Record<string, Schema>>
  /** Names of required members of `query`. */
  readonly required?: readonly string[]
  readonly headers?: Readonly<Record<string, Schema>>
  /** The body as the document describes it. */
  readonly body?: Schema
  /** The body as it is enforced, where that is laxer: one bad item of a batch is answered, and refuses no other. */
  readonly enforced?: Schema
  /** Schemas of answers by status; null: no body. A string: a media type of bytes. */
  readonly answers: Readonly<Record<number, Schema | string | null>>
  readonly handle: (asked: Asked, services: Services) => Promise<Answer>
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The name of the operation; undefined for health, metrics and the document. */
    operation?: string
  }
}
