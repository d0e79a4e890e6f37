import { adviceFor, ownAdvice } from './advice.js'
import { errorChain, textProperty, type ErrorNode } from './chain.js'
import { fileSystemFailure, networkFailure } from './foreign/errno.js'
import { postgresFailure } from './foreign/postgres.js'
import { redisFailure } from './foreign/redis.js'
import { tlsFailure } from './foreign/tls.js'
import { FAILURES, isFailureCode, type FailureCode } from './list.js'
import type { ClassifyContext, Failure } from './terms.js'

/** An error's place in the closed list. */
export interface Classified {
  readonly code: FailureCode
  readonly failure: Failure & { readonly code: FailureCode }
  /** the part of the error (itself, a cause, one of `errors`) that the code was read from */
  readonly from: unknown
}

/**
 * Finds an error's code: first by the codes of our own errors, nearest first; then by the drivers' errors (pg and Prisma,
 * ioredis, fs; errors of the AWS SDK get their code in @sealfleet/store, return values of a PKCS#11 module in
 * @sealfleet/hsm); UNCLASSIFIED when nothing fits. Walks `cause` and `AggregateError.errors`. Never throws.
 */
export function classify(error: unknown, context: ClassifyContext = {}): Classified {
  const chain = errorChain(error)
  const { abortReason, ...rest } = context
  // The reason of an abort decides its meaning: the AbortError that follows, and its wrappers, only say that it
  // happened.
  if (abortReason !== undefined && abortReason !== error && isAbort(chain)) return classify(abortReason, rest)
  const found = ownCode(chain) ?? foreignCode(chain, context)
  if (found !== undefined) return found
  if (abortReason !== undefined && abortReason !== error) return classify(abortReason, rest)
  return classified('UNCLASSIFIED', error)
}

/** The first action after an error, for on-call: its own advice, else that of its code. */
export function adviceOf({ code, from }: Pick<Classified, 'code' | 'from'>): string {
  return ownAdvice(from) ?? adviceFor(code, 'on-call')
}

/** Codes of our own packages that mean the same as one of the list, as `<name of the error> <its code>`. */
const OTHER_NAMES: ReadonlyMap<string, FailureCode> = new Map([
  ['RecordsError DB_URL', 'CONFIG_INVALID'],
  ['RecordsError CONFLICT', 'REQUEST_CONFLICT'],
  ['RecordsError INVALID', 'PAYLOAD_INVALID'],
])

function ownCode(chain: readonly ErrorNode[]): Classified | undefined {
  for (const node of chain) {
    const code = isFailureCode(node['code'])
      ? node['code']
      : OTHER_NAMES.get(`${textProperty(node, 'name')} ${textProperty(node, 'code')}`)
    if (code !== undefined) return classified(code, node)
  }
  return undefined
}

function foreignCode(chain: readonly ErrorNode[], context: ClassifyContext): Classified | undefined {
  for (const node of chain) {
    const code = tlsFailure(node, context.during) ?? postgresFailure(node) ?? redisFailure(node)
    if (code !== undefined) return classified(code, node)
  }
  for (const node of chain) {
    const code = fileSystemFailure(node, context.during) ?? networkFailure(node, context.during)
    if (code !== undefined) return classified(code, node)
  }
  return undefined
}

function isAbort(chain: readonly ErrorNode[]): boolean {
  return chain.some((node) => textProperty(node, 'name') === 'AbortError' || node['code'] === 'ABORT_ERR')
}

function classified(code: FailureCode, from: unknown): Classified {
  return { code, failure: FAILURES[code], from }
}
