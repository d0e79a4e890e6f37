import { z } from 'zod'
import { defineConcern } from '../concern.js'
import { opsTransport, type Transport } from '../transport.js'
import { wholeNumber, withDefault } from '../variable.js'

export interface OpsConfig {
  /** address to listen on; the default is reachable from this machine alone */
  readonly host: string
  /** 0: any free port */
  readonly port: number
  readonly transport: Transport
}

const variables = {
  host: withDefault('127.0.0.1', {
    name: 'SEALFLEET_OPS_HOST',
    description: 'address the dashboard and the metrics listen on',
    expects: 'an IP address or host name of this machine',
    example: '127.0.0.1',
    schema: z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, { error: 'is not a host name or address' }),
  }),
  port: withDefault('3900', {
    name: 'SEALFLEET_OPS_PORT',
    description: 'port of the dashboard; 0: any free one',
    expects: 'a port number from 0 to 65535',
    example: '3900',
    schema: wholeNumber(0, 65_535),
  }),
}

export const ops = defineConcern({
  variables,
  build: (values): OpsConfig => ({ ...values, transport: opsTransport(values.host) }),
})
