import { describe, expect, test } from 'vitest'
import { recordsError } from '@sealfleet/records'
import { classify } from '../src/classify.js'

const raised = (properties: object): Error => Object.assign(new Error('x'), properties)
const kinds = ['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TlsConnectionError', 'TooManyConnections']
const moreKinds = [
  'TransactionWriteConflict',
  'TransactionAlreadyClosed',
  'AuthenticationFailed',
  'DatabaseAccessDenied',
]
const schemaKinds = ['DatabaseDoesNotExist', 'TableDoesNotExist', 'ColumnNotFound']
const states = [
  '08006',
  '25006',
  '28P01',
  '3D000',
  '3F000',
  '40001',
  '40P01',
  '42501',
  '42703',
  '42P01',
  '53300',
  '55P03',
]
const codes = [
  'P1000',
  'P1001',
  'P1002',
  'P1003',
  'P1008',
  'P1010',
  'P1011',
  'P1017',
  'P2021',
  'P2022',
  'P2024',
  'P2034',
]
const errnos = [
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETDOWN',
]
const tls = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_SSL_WRONG_VERSION_NUMBER',
]

const ERRORS: readonly (readonly [string, Error])[] = [
  ...[...kinds, ...moreKinds, ...schemaKinds].map(
    (kind) => [kind, new Error('x', { cause: { kind, reason: 'x' } })] as const,
  ),
  ...[...states, '57014', '57P01', '58030'].map((code) => [code, raised({ code, severity: 'ERROR' })] as const),
  ...[...codes, 'P2028', 'P2037'].map((code) => [code, raised({ code })] as const),
  ...errnos.map((code) => [code, raised({ code, errno: -1, syscall: 'connect' })] as const),
  ...tls.map((code) => [code, raised({ code })] as const),
]

describe('an error of the database has one code, in a producer’s own transaction and in the records', () => {
  test.each(ERRORS)('%s', (_, error) => {
    const { code } = classify(error, { during: 'database' })
    expect(code).toMatch(/^DB_/)
    expect(classify(recordsError(error)).code).toBe(code)
  })
})
