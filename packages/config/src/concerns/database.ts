import { serviceUrl, addressOf } from '../url.js'
import type { Secret } from '../secret.js'
import { defineConcern } from '../concern.js'
import { databaseTransport, type Transport } from '../transport.js'
import { tlsOf, tlsProblems, tlsVariables, type TlsConfig } from './tls.js'
import { requiredSecret, wholeNumber, withDefault } from '../variable.js'

export interface DatabaseConfig {
  /** the whole URL, credentials included */
  readonly url: Secret
  /** `host:port/database`, fit to be shown */
  readonly address: string
  /** connections this process may hold */
  readonly poolSize: number
  readonly connectTimeoutMs: number
  readonly statementTimeoutMs: number
  readonly transport: Transport
  /** implies `sslmode=verify-full` when the URL has no mode */
  readonly tls: TlsConfig | undefined
}

const tlsSettings = tlsVariables('DATABASE', 'PostgreSQL')

const variables = {
  url: requiredSecret({
    name: 'SEALFLEET_DATABASE_URL',
    description: 'the PostgreSQL database of records; TLS by `?sslmode=verify-full`',
    expects: 'a PostgreSQL URL with a host and a database name',
    example: 'postgresql://sealfleet:password@127.0.0.1:5432/sealfleet',
    schema: serviceUrl(['postgresql:', 'postgres:'], { path: 'database name' }),
  }),
  poolSize: withDefault('10', {
    name: 'SEALFLEET_DATABASE_POOL_SIZE',
    description: 'connections a process may hold',
    expects: 'a whole number from 1 to 500',
    example: '10',
    schema: wholeNumber(1, 500),
  }),
  connectTimeoutMs: withDefault('5000', {
    name: 'SEALFLEET_DATABASE_CONNECT_TIMEOUT_MS',
    description: 'milliseconds to wait for a connection',
    expects: 'a whole number of milliseconds from 100 to 120000',
    example: '5000',
    schema: wholeNumber(100, 120_000),
  }),
  statementTimeoutMs: withDefault('15000', {
    name: 'SEALFLEET_DATABASE_STATEMENT_TIMEOUT_MS',
    description: 'milliseconds a statement may run',
    expects: 'a whole number of milliseconds from 100 to 600000',
    example: '15000',
    schema: wholeNumber(100, 600_000),
  }),
  ...tlsSettings,
}

export const database = defineConcern({
  variables,
  check: (values) => tlsProblems(tlsSettings, values, withoutTls(values.url.reveal())),
  build: (values): DatabaseConfig => {
    const { url, poolSize, connectTimeoutMs, statementTimeoutMs } = values
    const tls = tlsOf(values)
    return {
      url,
      address: addressOf(url.reveal(), 5432),
      poolSize,
      connectTimeoutMs,
      statementTimeoutMs,
      transport: databaseTransport(url.reveal(), tls !== undefined),
      tls,
    }
  },
})

/** Modes in which TLS settings would have no effect, or a weaker one than they suggest. */
function withoutTls(url: string): string | undefined {
  const mode = new URL(url).searchParams.get('sslmode')
  return mode === null || ['require', 'verify-ca', 'verify-full'].includes(mode)
    ? undefined
    : `SEALFLEET_DATABASE_URL has sslmode=${mode}`
}
