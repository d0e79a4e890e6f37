import { z } from 'zod'
import { defineConcern } from '../concern.js'
import { opsTransport, type Transport } from '../transport.js'
import { byteSize, wholeNumber, withDefault } from '../variable.js'

export interface GatewayConfig {
  /** address to listen on; the default is reachable from this machine alone */
  readonly host: string
  /** 0: any free port */
  readonly port: number
  readonly transport: Transport
  /** bytes of a request's body */
  readonly bodyLimit: number
  /** requests a second of one token, in one process; twice as many at once */
  readonly requestsPerSecond: number
  /** bytes a second of one token, bodies and downloads together, in one process */
  readonly bytesPerSecond: number
  /** downloads and verifications at once in one process */
  readonly readsAtOnce: number
  /** a reader that takes nothing for this long is cut off */
  readonly stallSeconds: number
  /** after SIGTERM, the time for running requests */
  readonly graceSeconds: number
}

const MiB = 2 ** 20

const variables = {
  host: withDefault('127.0.0.1', {
    name: 'SEALFLEET_GATEWAY_HOST',
    description: 'address the HTTP API listens on',
    expects: 'an IP address or host name of this machine',
    example: '127.0.0.1',
    schema: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, { error: 'is not a host name or address' }),
  }),
  port: withDefault('3800', {
    name: 'SEALFLEET_GATEWAY_PORT',
    description: 'port of the HTTP API; 0: any free one',
    expects: 'a port number from 0 to 65535',
    example: '3800',
    schema: wholeNumber(0, 65_535),
  }),
  bodyLimit: withDefault('16MiB', {
    name: 'SEALFLEET_GATEWAY_BODY_LIMIT',
    description: 'largest JSON body of a request; 10,000 files with long paths need some 10 MiB',
    expects: 'a size from 64KiB to 256MiB',
    example: '16MiB',
    schema: byteSize(MiB / 16, 256 * MiB),
  }),
  requestsPerSecond: withDefault('200', {
    name: 'SEALFLEET_GATEWAY_REQUESTS_PER_SECOND',
    description: 'requests a second that one token may send to one process; twice as many at once',
    expects: 'a whole number from 1 to 100000',
    example: '200',
    schema: wholeNumber(1, 100_000),
  }),
  bytesPerSecond: withDefault('1GiB', {
    name: 'SEALFLEET_GATEWAY_BYTES_PER_SECOND',
    description: 'bytes a second that one token may move through one process, bodies and downloads together',
    expects: 'a size from 64KiB to 64GiB',
    example: '1GiB',
    schema: byteSize(MiB / 16, 64 * 1024 * MiB),
  }),
  readsAtOnce: withDefault('64', {
    name: 'SEALFLEET_GATEWAY_READS',
    description: 'downloads and verifications one process runs at once; each holds a few segments in memory',
    expects: 'a whole number from 1 to 1024',
    example: '64',
    schema: wholeNumber(1, 1_024),
  }),
  stallSeconds: withDefault('60', {
    name: 'SEALFLEET_GATEWAY_STALL_SECONDS',
    description: 'a download whose reader takes nothing for so long is cut off',
    expects: 'a whole number of seconds from 1 to 3600',
    example: '60',
    schema: wholeNumber(1, 3_600),
  }),
  graceSeconds: withDefault('25', {
    name: 'SEALFLEET_GATEWAY_GRACE_SECONDS',
    description: 'after SIGTERM: how long running requests may take before they are cut off',
    expects: 'a whole number of seconds from 0 to 3600',
    example: '25',
    schema: wholeNumber(0, 3_600),
  }),
}

export const gateway = defineConcern({
  variables,
  build: (values): GatewayConfig => ({ ...values, transport: opsTransport(values.host) }),
})
