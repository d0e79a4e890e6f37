import { tlsFault, type TlsDependency } from '@sealfleet/config'
import type { ErrorNode } from '../chain.js'
import type { ClassifyContext } from '../terms.js'
import type { FailureCode } from '../list.js'

const CODES: Readonly<Record<TlsDependency, FailureCode>> = { database: 'DB_TLS', redis: 'REDIS_TLS', s3: 'S3_TLS' }

/**
 * Failed TLS does not show which dependency it was for, except for Prisma's: only the caller's context decides the
 * code.
 */
export function tlsFailure(node: ErrorNode, during: ClassifyContext['during']): FailureCode | undefined {
  const dependency = node['kind'] === 'TlsConnectionError' || node['code'] === 'P1011' ? 'database' : during
  if (dependency !== 'database' && dependency !== 'redis' && dependency !== 's3') return undefined
  const isTls = node['code'] === 'P1011' || tlsFault(node, dependency) !== undefined
  return isTls ? CODES[dependency] : undefined
}
