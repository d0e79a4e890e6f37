import { textProperty, type ErrorNode } from '../chain.js'
import type { ClassifyContext } from '../terms.js'
import type { FailureCode } from '../list.js'

const TIMEOUTS = new Set(['ETIMEDOUT', 'ESOCKETTIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT'])
const NETWORK = new Set([
  ...TIMEOUTS,
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EAI_NODATA',
])

function isTimeoutErrno(node: ErrorNode): boolean {
  return TIMEOUTS.has(textProperty(node, 'code'))
}

function isNetworkErrno(node: ErrorNode): boolean {
  return NETWORK.has(textProperty(node, 'code'))
}

/** A failed connection does not show which dependency it was for: only the caller's context decides the code. */
export function networkFailure(node: ErrorNode, during: ClassifyContext['during']): FailureCode | undefined {
  if (!isNetworkErrno(node)) return undefined
  switch (during) {
    case 'hsm':
      return 'HSM_UNAVAILABLE'
    case 's3':
      return isTimeoutErrno(node) ? 'S3_TIMEOUT' : 'S3_UNAVAILABLE'
    case 'database':
      return 'DB_UNAVAILABLE'
    case 'redis':
      return 'REDIS_UNAVAILABLE'
    case 'source':
    case 'output':
    case undefined:
      return undefined
  }
}

const SOURCE: Readonly<Record<string, FailureCode>> = {
  ENOENT: 'SOURCE_MISSING',
  ENOTDIR: 'SOURCE_MISSING',
  ENAMETOOLONG: 'SOURCE_MISSING',
  ELOOP: 'SOURCE_NOT_REGULAR', // O_NOFOLLOW met a symbolic link
  EISDIR: 'SOURCE_NOT_REGULAR',
  ENXIO: 'SOURCE_NOT_REGULAR', // a socket, or a FIFO without a writer
  ENODEV: 'SOURCE_NOT_REGULAR',
  EBUSY: 'SOURCE_BUSY',
  EAGAIN: 'SOURCE_BUSY',
  ETXTBSY: 'SOURCE_BUSY',
  EMFILE: 'SOURCE_BUSY', // our own limit: a later try may find a free descriptor
  ENFILE: 'SOURCE_BUSY',
  ENOMEM: 'SOURCE_BUSY',
  EFBIG: 'SOURCE_TOO_LARGE',
  EOVERFLOW: 'SOURCE_TOO_LARGE',
}

const ERRNO = /^E[A-Z0-9]{2,15}$/

/** Errors of fs while a source was read or an output written; without that context they stay unclassified. */
export function fileSystemFailure(node: ErrorNode, during: ClassifyContext['during']): FailureCode | undefined {
  const errno = textProperty(node, 'code')
  if ((during !== 'source' && during !== 'output') || typeof node['errno'] !== 'number' || !ERRNO.test(errno))
    return undefined
  if (during === 'output') return errno === 'EEXIST' ? 'OUTPUT_EXISTS' : 'OUTPUT_IO'
  return SOURCE[errno] ?? 'SOURCE_IO'
}
