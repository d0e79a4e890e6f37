import { textProperty, type ErrorNode } from '../chain.js'
import type { FailureCode } from '../list.js'

/** The first word of an error reply. */
const BY_REPLY: Readonly<Record<string, FailureCode>> = {
  LOADING: 'REDIS_UNAVAILABLE',
  MASTERDOWN: 'REDIS_UNAVAILABLE',
  CLUSTERDOWN: 'REDIS_UNAVAILABLE',
  TRYAGAIN: 'REDIS_UNAVAILABLE',
  READONLY: 'REDIS_UNAVAILABLE', // a replica answered during a failover
  BUSY: 'REDIS_UNAVAILABLE', // a script runs too long
  UNBLOCKED: 'REDIS_UNAVAILABLE',
  NOREPLICAS: 'REDIS_UNAVAILABLE',
  OOM: 'REDIS_UNAVAILABLE', // memory is full, and nothing may be evicted
  MISCONF: 'REDIS_UNAVAILABLE', // can't write its snapshot: disk full
  NOAUTH: 'REDIS_ACCESS_DENIED',
  WRONGPASS: 'REDIS_ACCESS_DENIED',
  NOPERM: 'REDIS_ACCESS_DENIED',
}

const NAMES = new Set(['MaxRetriesPerRequestError', 'ClusterAllFailedError'])

/** ioredis throws these as plain Errors without a code (Redis.js, utils of 6.0); BullMQ passes on the first. */
const MESSAGE =
  /^(Connection is closed\.|Stream isn't writeable and enableOfflineQueue options is false|Command timed out|connect ETIMEDOUT)$/

/** Redis 7.0's words for a command or key that the access list forbids to the user of a script; they begin with ERR. */
const FORBIDDEN_IN_SCRIPT = /The user executing the script can't|ACL failure in script/

/** Lua replies of BullMQ: another worker has the job's lock now, so this one is fenced. */
const LOST_LOCK = /^(Missing lock for job |Lock mismatch for job )/

/** Errors of ioredis and of BullMQ's connection. */
export function redisFailure(node: ErrorNode): FailureCode | undefined {
  const name = textProperty(node, 'name')
  const message = textProperty(node, 'message')
  if (NAMES.has(name)) return 'REDIS_UNAVAILABLE'
  if (name === 'ReplyError' || /^(Simple|Blob)Error$/.test(name)) {
    if (FORBIDDEN_IN_SCRIPT.test(message)) return 'REDIS_ACCESS_DENIED'
    const word = /^[A-Z]+/.exec(message)?.[0] ?? ''
    return Object.hasOwn(BY_REPLY, word) ? BY_REPLY[word] : undefined
  }
  if (LOST_LOCK.test(message)) return 'FENCED'
  return MESSAGE.test(message) ? 'REDIS_UNAVAILABLE' : undefined
}
