import { Secret } from '../secret.js'
import { defineConcern } from '../concern.js'
import { required, text, wholeNumber, withDefault } from '../variable.js'
import { absolutePath } from '../path.js'
import type { Variable } from '../variable.js'

/** Where the token's PIN comes from: a path handed to the HSM's agent unread, or a value (for development). */
export type PinConfig =
  { readonly kind: 'file'; readonly path: string } | { readonly kind: 'value'; readonly value: Secret }

export interface HsmConfig {
  /** path of the PKCS#11 module's shared library */
  readonly module: string
  /** label of the token */
  readonly token: string
  readonly pin: PinConfig
  /** a name for the configured PIN, never derived from it; a rejected PIN is latched under it */
  readonly pinId: string
  /** agent processes */
  readonly agents: number
  /** sessions of each agent */
  readonly sessions: number
  readonly softTimeoutMs: number
  readonly hardTimeoutMs: number
}

const pin: Variable<PinConfig> = {
  name: 'SEALFLEET_PKCS11_PIN',
  about: "the token's PIN, for development; in production give the file, which only the HSM's agent reads",
  wants: "the token's user PIN (better: SEALFLEET_PKCS11_PIN_FILE with its path)",
  example: '1234',
  schema: text.transform((value): PinConfig => ({ kind: 'value', value: new Secret(value) })),
  secret: true,
  fromPath: (path) => ({ kind: 'file', path }),
}

const variables = {
  module: required({
    name: 'SEALFLEET_PKCS11_MODULE',
    about: "the HSM vendor's PKCS#11 library",
    wants: 'the absolute path of a PKCS#11 library',
    example: '/usr/lib/softhsm/libsofthsm2.so',
    schema: absolutePath,
  }),
  token: required({
    name: 'SEALFLEET_PKCS11_TOKEN',
    about: 'label of the token that holds the master keys',
    wants: 'a token label of 1 to 32 bytes',
    example: 'sealfleet',
    schema: text.refine((value) => Buffer.byteLength(value) <= 32, { error: 'is longer than 32 bytes' }),
  }),
  pin,
  pinId: withDefault('default', {
    name: 'SEALFLEET_PKCS11_PIN_ID',
    about: 'a name for this PIN; change it with the PIN, since a rejected PIN is latched under it',
    wants: 'letters, digits, dots, dashes and underscores, at most 64',
    example: 'pin-2026-01',
    schema: text.refine((value) => /^[A-Za-z0-9._-]{1,64}$/.test(value), { error: 'is not of that form' }),
  }),
  agents: withDefault('2', {
    name: 'SEALFLEET_HSM_AGENTS',
    about: 'agent processes, so that one may restart',
    wants: 'a whole number from 1 to 8',
    example: '2',
    schema: wholeNumber(1, 8),
  }),
  sessions: withDefault('8', {
    name: 'SEALFLEET_HSM_SESSIONS',
    about: "sessions of each agent; the fleet's sum must stay below the token's maximum",
    wants: 'a whole number from 1 to 256',
    example: '8',
    schema: wholeNumber(1, 256),
  }),
  softTimeoutMs: withDefault('1000', {
    name: 'SEALFLEET_HSM_SOFT_TIMEOUT_MS',
    about: 'milliseconds after which an HSM call counts as slow',
    wants: 'a whole number of milliseconds from 10 to 60000',
    example: '1000',
    schema: wholeNumber(10, 60_000),
  }),
  hardTimeoutMs: withDefault('5000', {
    name: 'SEALFLEET_HSM_HARD_TIMEOUT_MS',
    about: 'milliseconds after which an HSM call counts as hung',
    wants: 'a whole number of milliseconds from 100 to 120000, above the soft time-out',
    example: '5000',
    schema: wholeNumber(100, 120_000),
  }),
}

export const hsm = defineConcern({
  variables,
  check: ({ softTimeoutMs, hardTimeoutMs }) =>
    softTimeoutMs < hardTimeoutMs
      ? []
      : [
          {
            variable: variables.hardTimeoutMs.name,
            fault: `is wrong: ${hardTimeoutMs} is not above ${variables.softTimeoutMs.name} (${softTimeoutMs})`,
            wants: variables.hardTimeoutMs.wants,
            example: variables.hardTimeoutMs.example,
          },
        ],
  build: (values): HsmConfig => values,
})
