import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { z } from 'zod'
import type { Problem } from '../problem.js'
import { Secret } from '../secret.js'
import { optional, optionalFile, type Values, type Variable } from '../variable.js'

/** The trusted certificates of a TLS connection, and our own; undefined members are Node's defaults. */
export interface TlsConfig {
  /** PEM; replaces the authorities that Node knows */
  readonly ca: string | undefined
  /** PEM, with its intermediate certificates */
  readonly cert: string | undefined
  readonly key: Secret | undefined
  /** the name that the server's certificate must have, if it is not the host of the address */
  readonly serverName: string | undefined
}

interface TlsVariables {
  readonly tlsCa: Variable<string | undefined>
  readonly tlsCert: Variable<string | undefined>
  readonly tlsKey: Variable<Secret | undefined>
  readonly tlsServerName: Variable<string | undefined>
}

export type TlsValues = Values<TlsVariables & Record<string, Variable<unknown>>>

/** The four variables of a dependency, e.g. SEALFLEET_REDIS_TLS_CA_FILE. */
export function tlsVariables(dependency: 'DATABASE' | 'REDIS' | 'S3', server: string): TlsVariables {
  const name = <S extends string>(suffix: S) => `SEALFLEET_${dependency}_TLS_${suffix}` as const
  return {
    tlsCa: optionalFile('public', {
      name: name('CA_FILE'),
      description: `the authorities that ${server}'s certificate may come from, in place of those that Node knows`,
      expects: 'the path of a PEM file of certificates',
      example: '/etc/sealfleet/ca.pem',
      schema: certificates,
    }),
    tlsCert: optionalFile('public', {
      name: name('CERT_FILE'),
      description: `certificate by which Sealfleet says who it is to ${server}, with its intermediates`,
      expects: 'the path of a PEM file of certificates',
      example: '/etc/sealfleet/client.pem',
      schema: certificates,
    }),
    tlsKey: optionalFile('secret', {
      name: name('KEY_FILE'),
      description: 'private key of that certificate',
      expects: 'the path of a PEM file of a private key without a passphrase',
      example: '/etc/sealfleet/client.key',
      schema: privateKey,
    }),
    tlsServerName: optional({
      name: name('SERVER_NAME'),
      description: `name that ${server}'s certificate must have, where it is not the host of the address`,
      expects: 'a host name',
      example: 'service.internal.example',
      schema: z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, { error: 'is not a host name' }),
    }),
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

const certificates = z.string().superRefine((pem, context) => {
  const wrong = (message: string): void => context.addIssue({ code: 'custom', message })
  const found = pem.match(CERTIFICATE)
  if (found === null) return wrong('holds no PEM certificate')
  for (const [index, one] of found.entries()) {
    if (!isCertificate(one)) return wrong(`has a certificate that can't be parsed, number ${index + 1}`)
  }
})

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

const privateKey = z.string().transform((pem, context) => {
  try {
    createPrivateKey(pem)
    return new Secret(pem)
  } catch {
    const message = /ENCRYPTED/.test(pem) ? 'is encrypted with a passphrase' : 'holds no PEM private key'
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
})

/** Undefined when no TLS setting is given. */
export function tlsOf({ tlsCa, tlsCert, tlsKey, tlsServerName }: TlsValues): TlsConfig | undefined {
  const tls = { ca: tlsCa, cert: tlsCert, key: tlsKey, serverName: tlsServerName }
  return Object.values(tls).some((value) => value !== undefined) ? tls : undefined
}

/**
 * Faults between the variables: half of a key pair, a key of another certificate, or settings without effect because
 * the address is `plain`.
 */
export function tlsProblems(variables: TlsVariables, values: TlsValues, plain: string | undefined): readonly Problem[] {
  const problem = ({ name, expects: wants, example }: Omit<Variable<unknown>, 'schema'>, fault: string): Problem[] => [
    { variable: name, fault, expects: wants, example },
  ]
  if (plain !== undefined) {
    const set = (Object.keys(variables) as (keyof TlsVariables)[]).find((property) => values[property] !== undefined)
    return set === undefined ? [] : problem(variables[set], `is set, but ${plain}`)
  }
  const { tlsCert, tlsKey } = values
  if (tlsCert === undefined && tlsKey === undefined) return []
  if (tlsKey === undefined) return problem(variables.tlsKey, `is not set, and ${variables.tlsCert.name} is`)
  if (tlsCert === undefined) return problem(variables.tlsCert, `is not set, and ${variables.tlsKey.name} is`)
  return new X509Certificate(tlsCert).checkPrivateKey(createPrivateKey(tlsKey.reveal()))
    ? []
    : problem(variables.tlsKey, `is wrong: it is not the key of the first certificate in ${variables.tlsCert.name}`)
}

/** In the form of Node's `tls.connect`, which every driver takes; undefined when no setting is given. */
export function tlsOptions(tls: TlsConfig | undefined): TlsOptions | undefined {
  if (tls === undefined) return undefined
  const { ca, cert, key, serverName } = tls
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key: key.reveal() }),
    ...(serverName !== undefined && { servername: serverName }),
  }
}

export type TlsOptions = Pick<ConnectionOptions, 'servername'> & {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}
