import { Secret } from '../secret.js'
import { defineConcern, type FileFault } from '../concern.js'
import { optional, required, text, wholeNumber, withDefault } from '../variable.js'
import { absolutePath } from '../path.js'
import type { Problem } from '../problem.js'
import { leastBudget, sessionsWithin } from './hsm-budget.js'
import { secondaryList, type SecondaryToken } from './hsm-secondaries.js'
import { tokenLabel } from './token-label.js'
import type { Variable } from '../variable.js'

/** The source of the token's PIN: a path handed to the HSM's agent unread, or a value (for development). */
export type PinConfig =
  { readonly kind: 'file'; readonly path: string } | { readonly kind: 'value'; readonly value: Secret }

export interface HsmConfig {
  /** path of the PKCS#11 module's shared library */
  readonly module: string
  /** label of the token */
  readonly token: string
  /** needed only where two tokens of the module carry that label */
  readonly serial: string | undefined
  readonly pin: PinConfig
  /** a name for the configured PIN, never derived from it; a rejected PIN is locked out under it */
  readonly pinId: string
  /** agent processes */
  readonly agents: number
  /** tokens that hold the same keys, in order of preference */
  readonly secondaries: readonly SecondaryToken[]
  /** sessions of each agent: the requested number, or fewer if the fleet's budget gives fewer */
  readonly sessions: number
  /** sessions of a token for the whole fleet; 0: no limit */
  readonly sessionBudget: number
  /** worker processes that share the budget */
  readonly workers: number | undefined
  readonly softTimeoutMs: number
  readonly hardTimeoutMs: number
}

const pin: Variable<PinConfig> = {
  name: 'SEALFLEET_PKCS11_PIN',
  description: "the token's PIN, for development; in production give the file, which only the HSM's agent reads",
  expects: "the token's user PIN (better: SEALFLEET_PKCS11_PIN_FILE with its path)",
  example: '1234',
  schema: text.transform((value): PinConfig => ({ kind: 'value', value: new Secret(value) })),
  secret: true,
  fromPath: (path) => ({ kind: 'file', path }),
}

const variables = {
  module: required({
    name: 'SEALFLEET_PKCS11_MODULE',
    description: "the HSM vendor's PKCS#11 library",
    expects: 'the absolute path of a PKCS#11 library',
    example: '/usr/lib/softhsm/libsofthsm2.so',
    schema: absolutePath,
  }),
  token: required({
    name: 'SEALFLEET_PKCS11_TOKEN',
    description: 'label of the token that holds the master keys',
    expects: 'a token label of 1 to 32 bytes',
    example: 'sealfleet',
    schema: tokenLabel,
  }),
  serial: optional({
    name: 'SEALFLEET_PKCS11_SERIAL',
    description: 'serial number of that token, where two tokens of the module carry the label',
    expects: 'a serial number of 1 to 16 bytes',
    example: '3f2a90c1d4e57b68',
    schema: text.refine((value) => Buffer.byteLength(value) <= 16, { error: 'is longer than 16 bytes' }),
  }),
  pin,
  pinId: withDefault('default', {
    name: 'SEALFLEET_PKCS11_PIN_ID',
    description: 'a name for this PIN; change it with the PIN, since a rejected PIN is locked out under it',
    expects: 'letters, digits, dots, dashes and underscores, at most 64',
    example: 'pin-2026-01',
    schema: text.refine((value) => /^[A-Za-z0-9._-]{1,64}$/.test(value), { error: 'is not of that form' }),
  }),
  secondaries: optional({
    name: 'SEALFLEET_PKCS11_SECONDARIES',
    description: "tokens that hold the same keys and serve while the first can't, in order of preference",
    expects:
      'token=LABEL,pin-file=/path, and where needed module=/path, serial=…, pin-id=…, env.NAME=…; several separated by semicolons',
    example: 'token=sealfleet-2,pin-file=/run/secrets/pin-2',
    schema: secondaryList,
  }),
  agents: withDefault('2', {
    name: 'SEALFLEET_HSM_AGENTS',
    description: 'agent processes, so that one may restart',
    expects: 'a whole number from 1 to 8',
    example: '2',
    schema: wholeNumber(1, 8),
  }),
  sessions: withDefault('8', {
    name: 'SEALFLEET_HSM_SESSIONS',
    description:
      "sessions of each agent, fewer where the budget gives fewer; the fleet's sum must stay below the token's maximum",
    expects: 'a whole number from 1 to 256',
    example: '8',
    schema: wholeNumber(1, 256),
  }),
  sessionBudget: withDefault('0', {
    name: 'SEALFLEET_HSM_SESSION_BUDGET',
    description: 'sessions that all workers together may have of a token, divided by their number; 0: no such limit',
    expects: 'a whole number from 0 to 1000000',
    example: '256',
    schema: wholeNumber(0, 1_000_000),
  }),
  workers: optional({
    name: 'SEALFLEET_HSM_WORKERS',
    description: 'worker processes that share the budget of sessions, those of a rolling restart included',
    expects: 'a whole number from 1 to 10000',
    example: '8',
    schema: wholeNumber(1, 10_000),
  }),
  softTimeoutMs: withDefault('1000', {
    name: 'SEALFLEET_HSM_SOFT_TIMEOUT_MS',
    description: 'milliseconds after which an HSM call counts as slow',
    expects: 'a whole number of milliseconds from 10 to 60000',
    example: '1000',
    schema: wholeNumber(10, 60_000),
  }),
  hardTimeoutMs: withDefault('5000', {
    name: 'SEALFLEET_HSM_HARD_TIMEOUT_MS',
    description: 'milliseconds after which an HSM call counts as hung',
    expects: 'a whole number of milliseconds from 100 to 120000, above the soft time-out',
    example: '5000',
    schema: wholeNumber(100, 120_000),
  }),
}

type HsmValues = Omit<HsmConfig, 'secondaries'> & { readonly secondaries: readonly SecondaryToken[] | undefined }

export const hsm = defineConcern({
  variables,
  check: (values, fileFault) => [...timeouts(values), ...budget(values), ...pinFiles(values, fileFault)],
  build: (values): HsmConfig => ({
    ...values,
    secondaries: values.secondaries ?? [],
    sessions: sessionsOf(values),
  }),
})

function sessionsOf({ sessionBudget, workers, agents, sessions }: HsmValues): number {
  return workers === undefined || sessionBudget === 0
    ? sessions
    : sessionsWithin(sessionBudget, workers, agents, sessions)
}

function timeouts({ softTimeoutMs, hardTimeoutMs }: HsmValues): Problem[] {
  if (softTimeoutMs < hardTimeoutMs) return []
  const fault = `is wrong: ${hardTimeoutMs} is not above ${variables.softTimeoutMs.name} (${softTimeoutMs})`
  return [problem(variables.hardTimeoutMs, fault)]
}

function budget(values: HsmValues): Problem[] {
  const { sessionBudget, workers, agents } = values
  if (sessionBudget === 0) return []
  if (workers === undefined) return [problem(variables.workers, `is not set, and ${variables.sessionBudget.name} is`)]
  if (sessionsOf(values) >= 1) return []
  const least = `${workers} workers with ${agents} agents each need at least ${leastBudget(workers, agents)}`
  return [problem(variables.sessionBudget, `is wrong: ${sessionBudget} is too small: ${least}`)]
}

function pinFiles({ secondaries = [] }: HsmValues, fileFault: FileFault): Problem[] {
  return secondaries.flatMap(({ token, pinFile }) => {
    const fault = fileFault(pinFile)
    return fault === undefined ? [] : [problem(variables.secondaries, `gives ${token} a pin-file that ${fault}`)]
  })
}

function problem({ name, expects: wants, example }: Omit<Variable<unknown>, 'schema'>, fault: string): Problem {
  return { variable: name, fault, expects: wants, example }
}
