import { z } from 'zod'
import { httpEndpoint } from '../url.js'
import type { Secret } from '../secret.js'
import { defineConcern } from '../concern.js'
import { s3Transport, type Transport } from '../transport.js'
import { tlsOf, tlsProblems, tlsVariables, type TlsConfig } from './tls.js'
import { byteSize, flag, optional, required, requiredSecret, text, wholeNumber, withDefault } from '../variable.js'

export interface S3Config {
  /** undefined: AWS itself, by region */
  readonly endpoint: string | undefined
  readonly region: string
  readonly bucket: string
  readonly accessKeyId: Secret
  readonly secretAccessKey: Secret
  readonly forcePathStyle: boolean
  /** bytes of a part; the store raises it for files that would need more than 10,000 parts */
  readonly partSize: number
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
  /** tries of one request, the first included */
  readonly maxAttempts: number
  /** milliseconds a command (not a worker) waits for one answer, all tries together */
  readonly commandPatienceMs: number
  /** sign requests without hashing their bodies; only over https, where TLS protects them */
  readonly unsignedPayload: boolean
  /** `when-required`: no optional checksum is sent, for older stores */
  readonly checksums: 'when-supported' | 'when-required'
  /**
   * whether workers write a file's root and path into the metadata of its object, which every reader of the bucket can
   * see
   */
  readonly pathMetadata: 'off' | 'plain'
  readonly transport: Transport
  readonly tls: TlsConfig | undefined
}

const MiB = 2 ** 20

const tlsSettings = tlsVariables('S3', 'the S3 server')

const variables = {
  endpoint: optional({
    name: 'SEALFLEET_S3_ENDPOINT',
    description: 'address of the S3 server; unset for AWS',
    expects: 'an http: or https: URL without credentials',
    example: 'https://s3.example.net',
    schema: httpEndpoint,
  }),
  region: withDefault('us-east-1', {
    name: 'SEALFLEET_S3_REGION',
    description: 'region that requests are signed for',
    expects: 'a region name',
    example: 'eu-central-1',
    schema: z.string().regex(/^[A-Za-z0-9-]{1,64}$/, { error: 'is not a region name' }),
  }),
  bucket: required({
    name: 'SEALFLEET_S3_BUCKET',
    description: 'bucket of the sealed objects; it must exist',
    expects: 'a bucket name: 3 to 63 lower-case letters, digits, dots and dashes',
    example: 'sealed-files',
    schema: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { error: 'is not a bucket name' }),
  }),
  accessKeyId: requiredSecret({
    name: 'SEALFLEET_S3_ACCESS_KEY_ID',
    description: 'S3 access key id',
    expects: 'an access key id',
    example: 'AKIAEXAMPLE',
    schema: text,
  }),
  secretAccessKey: requiredSecret({
    name: 'SEALFLEET_S3_SECRET_ACCESS_KEY',
    description: 'S3 secret access key',
    expects: 'the secret of that access key',
    example: 'a-secret-key',
    schema: text,
  }),
  forcePathStyle: withDefault('true', {
    name: 'SEALFLEET_S3_FORCE_PATH_STYLE',
    description: 'bucket in the path instead of the host name',
    expects: 'true or false',
    example: 'true',
    schema: flag,
  }),
  partSize: withDefault('7MiB', {
    name: 'SEALFLEET_S3_PART_SIZE',
    description: 'size of an upload part; raised by itself for objects of more than 10,000 parts',
    expects: 'a size from 5MiB to 512MiB',
    example: '7MiB',
    schema: byteSize(5 * MiB, 512 * MiB),
  }),
  connectTimeoutMs: withDefault('5000', {
    name: 'SEALFLEET_S3_CONNECT_TIMEOUT_MS',
    description: 'milliseconds to wait for a connection',
    expects: 'a whole number of milliseconds from 100 to 120000',
    example: '5000',
    schema: wholeNumber(100, 120_000),
  }),
  requestTimeoutMs: withDefault('60000', {
    name: 'SEALFLEET_S3_REQUEST_TIMEOUT_MS',
    description: 'milliseconds one request may take',
    expects: 'a whole number of milliseconds from 100 to 3600000',
    example: '60000',
    schema: wholeNumber(100, 3_600_000),
  }),
  maxAttempts: withDefault('4', {
    name: 'SEALFLEET_S3_MAX_ATTEMPTS',
    description: 'tries of one request, the first included; above 1, an object of one part may be put once more',
    expects: 'a whole number from 1 to 20',
    example: '4',
    schema: wholeNumber(1, 20),
  }),
  commandPatienceMs: withDefault('60000', {
    name: 'SEALFLEET_S3_COMMAND_PATIENCE_MS',
    description:
      'milliseconds a command of the CLI waits for one answer of the store, all tries together; workers try on',
    expects: 'a whole number of milliseconds from 1000 to 3600000',
    example: '60000',
    schema: wholeNumber(1_000, 3_600_000),
  }),
  unsignedPayload: withDefault('false', {
    name: 'SEALFLEET_S3_UNSIGNED_PAYLOAD',
    description: 'over https only: leave the hash of a part to TLS and the checksum',
    expects: 'true or false; true only with an https: endpoint',
    example: 'false',
    schema: flag,
  }),
  checksums: withDefault('when-supported', {
    name: 'SEALFLEET_S3_CHECKSUMS',
    description: 'whether a CRC-32 goes with every part (x-amz-checksum-crc32), which some older stores refuse',
    expects: 'when-supported or when-required',
    example: 'when-required',
    schema: z.enum(['when-supported', 'when-required'], { error: 'is neither when-supported nor when-required' }),
  }),
  pathMetadata: withDefault('off', {
    name: 'SEALFLEET_S3_PATH_METADATA',
    description:
      'whether workers write root and path of a file into its object’s metadata, in plain text, for `recover` to give back',
    expects: 'off or plain',
    example: 'plain',
    schema: z.enum(['off', 'plain'], { error: 'is neither off nor plain' }),
  }),
  ...tlsSettings,
}

export const s3 = defineConcern({
  variables,
  check: (values) => {
    const plain = values.endpoint?.startsWith('http:') === true
    return [
      ...(plain && values.unsignedPayload ? [UNSIGNED_OVER_HTTP] : []),
      ...tlsProblems(tlsSettings, values, plain ? 'SEALFLEET_S3_ENDPOINT is an http: address, without TLS' : undefined),
    ]
  },
  build: ({ tlsCa, tlsCert, tlsKey, tlsServerName, ...values }): S3Config => ({
    ...values,
    transport: s3Transport(values.endpoint),
    tls: tlsOf({ tlsCa, tlsCert, tlsKey, tlsServerName }),
  }),
})

const UNSIGNED_OVER_HTTP = {
  variable: variables.unsignedPayload.name,
  fault: 'is wrong: the endpoint is not https, so nothing would protect the parts on their way',
  wants: variables.unsignedPayload.expects,
  example: variables.unsignedPayload.example,
}
