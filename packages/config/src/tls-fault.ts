import { said } from '@sealfleet/telemetry/text'

export type TlsDependency = 'database' | 'redis' | 's3'

/** Why TLS to a server could not be set up, in words, and the setting or action that fixes it. */
export interface TlsFault {
  /** as the end of "the server …" */
  readonly why: string
  readonly fix: string
}

const UNTRUSTED =
  /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|(DEPTH_ZERO_)?SELF_SIGNED_CERT(_IN_CHAIN)?|CERT_UNTRUSTED|CERT_SIGNATURE_FAILURE|INVALID_CA|INVALID_PURPOSE|CERT_CHAIN_TOO_LONG)$/
const OUT_OF_TIME: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has a certificate that has expired',
  CERT_NOT_YET_VALID: 'has a certificate that is not valid yet',
}
/** Alerts of a server to a client that sent no certificate, or one that the server does not accept. */
const CLIENT_REFUSED =
  /^ERR_SSL_(TLSV13_ALERT_CERTIFICATE_REQUIRED|TLSV1_ALERT_UNKNOWN_CA|SSLV3_ALERT_HANDSHAKE_FAILURE|SSLV3_ALERT_(BAD|NO|UNSUPPORTED)_CERTIFICATE|SSLV3_ALERT_CERTIFICATE_(UNKNOWN|EXPIRED|REVOKED))$/
const NO_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE)$/
const ANY_TLS = /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|CRL_|UNABLE_TO_|HOSTNAME_MISMATCH$)/

/** pg throws these as plain Errors, and Prisma's adapter repeats the text as a reason. */
const PG_NO_TLS = 'The server does not support SSL connections'
const PG_NO_HANDSHAKE = 'There was an error establishing an SSL connection'

/** The variable with the address of each dependency, whose host the certificate must match. */
const ADDRESS: Readonly<Record<TlsDependency, string>> = {
  database: 'SEALFLEET_DATABASE_URL',
  redis: 'SEALFLEET_REDIS_URL',
  s3: 'SEALFLEET_S3_ENDPOINT',
}

/** The TLS fault in an error or its causes; undefined when there is none. Never throws. */
export function tlsFault(error: unknown, dependency: TlsDependency): TlsFault | undefined {
  for (const node of nodes(error)) {
    const fault = faultOf(node, dependency)
    if (fault !== undefined) return fault
  }
  return undefined
}

type Node = Readonly<Record<string, unknown>>

function faultOf(node: Node, dependency: TlsDependency): TlsFault | undefined {
  const [code, message] = [textOf(node['code']), textOf(node['message']) || textOf(node['reason'])]
  const setting = (suffix: string): string => `SEALFLEET_${dependency.toUpperCase()}_TLS_${suffix}`
  if (UNTRUSTED.test(code)) {
    return {
      why: `has a certificate from an authority that is not trusted here (${code})`,
      fix: `name the certificate of its authority in ${setting('CA_FILE')}, when you have made sure that it is the right one`,
    }
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') {
    return {
      why: `has a certificate for another name${namesOf(node)}`,
      fix: `correct the host in ${ADDRESS[dependency]}; or set ${setting('SERVER_NAME')} to a name of the certificate, when it is the right server`,
    }
  }
  const when = OUT_OF_TIME[code]
  if (when !== undefined)
    return { why: when, fix: 'have the server’s certificate renewed; compare this machine’s clock' }
  if (CLIENT_REFUSED.test(code)) {
    return {
      why: `asks for a client certificate, or refuses the one it got (${code})`,
      fix: `name one that its authority has signed in ${setting('CERT_FILE')}, and its key in ${setting('KEY_FILE')}`,
    }
  }
  if (NO_TLS.test(code) || message.includes(PG_NO_TLS)) {
    return { why: 'does not speak TLS on that port', fix: `correct scheme, host and port in ${ADDRESS[dependency]}` }
  }
  const other = ANY_TLS.test(code) || message.includes(PG_NO_HANDSHAKE) || node['kind'] === 'TlsConnectionError'
  if (!other) return undefined
  const words = code === '' ? said(message) : code
  return { why: `does not come to an agreement on TLS (${words})`, fix: `check TLS of the server and ${setting('…')}` }
}

function namesOf(node: Node): string {
  const cert = node['cert']
  const names = typeof cert === 'object' && cert !== null ? textOf((cert as Node)['subjectaltname']) : ''
  return names === '' ? '' : `: ${said(names)}`
}

const MOST = 16

function nodes(error: unknown): readonly Node[] {
  const found: Node[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0 && found.length < MOST) {
    const next = queue.shift()
    if (typeof next !== 'object' || next === null || found.includes(next as Node)) continue
    const node = next as Node
    found.push(node)
    queue.push(node['cause'], ...(Array.isArray(node['errors']) ? (node['errors'] as unknown[]).slice(0, MOST) : []))
  }
  return found
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
